import type { Asked } from './asked.ts';
import type { AuditSaid } from './audit-trail.ts';

/** A decision against somebody. */
export interface NotedRefusal {
  /** What was asked for: `issue`, `renew`, `revoke`, `token`, `lease`, or a route. */
  readonly asked: string;
  /** The names, serial or value that it was about. */
  readonly subject?: string | undefined;
  readonly provisioner?: string | undefined;
  readonly code: string;
  readonly detail: string;
}

export interface RefusalNotesOptions {
  /** Writes them in one transaction. */
  readonly write: (refusals: readonly AuditSaid[]) => Promise<void>;
  readonly now: () => number;
  /** Told where they could not be written, with how many refusals they stand for. */
  readonly onLost: (thrown: unknown, refusals: number) => void;
}

/** How long the first of them waits for others. */
const gatherMs = 1000;
/** Different ones; who invents more of them in a second is counted, not remembered. */
const mostKinds = 500;
const longestText = 300;

/**
 * Refusals on their way into the audit trail. Strangers can cause as many as they like: those alike become one row with
 * a count, and beyond a number of kinds the rest of that second is one row too.
 */
export class RefusalNotes {
  readonly #options: RefusalNotesOptions;
  #kinds = new Map<string, AuditSaid & { readonly count: number }>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: RefusalNotesOptions) {
    this.#options = options;
  }

  note(refusal: NotedRefusal, asked: Asked | undefined): void {
    const kind = this.#kinds.size < mostKinds ? kindOf(refusal, asked) : others;
    const key = JSON.stringify({ ...kind, detail: undefined });
    const held = this.#kinds.get(key);
    const at = held?.at ?? this.#options.now();
    this.#kinds.set(key, { at, ...kind, count: (held?.count ?? 0) + 1 });
    this.#timer ??= setTimeout(() => void this.flush(), gatherMs).unref();
  }

  /** Resolves once everything noted is written, or given up. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const gathered = [...this.#kinds.values()];
    this.#kinds = new Map();
    if (gathered.length === 0) return this.#writing;
    this.#writing = this.#writing.then(async () => {
      try {
        await this.#options.write(
          gathered.map(({ count, ...said }) => ({ ...said, ...(count > 1 && { count }) })),
        );
      } catch (thrown) {
        const refusals = gathered.reduce((sum, each) => sum + each.count, 0);
        this.#options.onLost(thrown, refusals);
      }
    });
    return this.#writing;
  }
}

const others: AuditSaid = { asked: 'others', detail: 'more kinds at once than are told apart' };

/** What makes refusals alike; the first one's words stand for all of them. */
function kindOf(refusal: NotedRefusal, asked: Asked | undefined): AuditSaid {
  const { asked: what, subject, provisioner, code, detail } = refusal;
  return {
    by: short(asked?.by ?? 'authority'),
    ...(asked?.from !== undefined && { from: asked.from }),
    asked: what,
    ...(subject !== undefined && { subject: short(subject) }),
    ...(provisioner !== undefined && { provisioner: short(provisioner) }),
    code,
    detail: short(detail),
  };
}

function short(text: string): string {
  return text.length <= longestText ? text : `${text.slice(0, longestText)}…`;
}
