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
/** The same of those that are told together. */
const gatherTogetherMs = 60_000;
const longestText = 300;

/** Rows of their own: so many at once, and then one each so often. */
interface Allowance {
  readonly atOnce: number;
  readonly eachMs: number;
}
const allowances: Readonly<Record<'stranger' | 'known', Allowance>> = {
  stranger: { atOnce: 200, eachMs: 10_000 },
  known: { atOnce: 300, eachMs: 1000 },
};

type Gathered = Map<string, Counted>;

/**
 * Refusals on their way into the audit trail. Who is refused can cause as many as he likes: those alike become one row
 * with a count, and whoever invents more kinds than are allowed rows of their own finds them told together, a row a
 * minute for each reason. So a day of it adds some ten thousand rows, and every refusal is counted.
 */
export class RefusalNotes {
  readonly #options: RefusalNotesOptions;
  readonly #left: Record<keyof typeof allowances, { rows: number; at: number }>;
  #kinds: Gathered = new Map();
  #together: Gathered = new Map();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: RefusalNotesOptions) {
    this.#options = options;
    const at = options.now();
    this.#left = {
      stranger: { rows: allowances.stranger.atOnce, at },
      known: { rows: allowances.known.atOnce, at },
    };
  }

  note(refusal: NotedRefusal, asked: Asked | undefined): void {
    const at = this.#options.now();
    const kind = kindOf(refusal, asked);
    const key = JSON.stringify({ ...kind, detail: undefined });
    const isOwn = this.#kinds.has(key) || this.#takeRow(kind.by === 'anonymous', at);
    if (isOwn) count(this.#kinds, key, { at, ...kind });
    else {
      const { asked: what, code } = refusal;
      const together: AuditSaid = { asked: what, code, detail: toldTogether };
      count(this.#together, `${what} ${code}`, { at, ...together });
    }
    this.#timer ??= setTimeout(() => this.#writeDue(), gatherMs).unref();
  }

  /** Resolves once everything noted is written, or given up. */
  flush(): Promise<void> {
    return this.#write([...this.#takeKinds(), ...this.#takeTogether()]);
  }

  #writeDue(): void {
    const [oldest] = this.#together.values();
    const isDue = oldest !== undefined && this.#options.now() - oldest.at >= gatherTogetherMs;
    const together = isDue ? this.#takeTogether() : [];
    void this.#write([...this.#takeKinds(), ...together]);
    if (this.#together.size === 0) return;
    this.#timer = setTimeout(() => this.#writeDue(), gatherMs).unref();
  }

  /** A row of its own, where one is left by now. */
  #takeRow(isStranger: boolean, at: number): boolean {
    const who = isStranger ? 'stranger' : 'known';
    const { atOnce, eachMs } = allowances[who];
    const left = this.#left[who];
    const more = Math.max(0, Math.floor((at - left.at) / eachMs));
    left.rows = Math.min(atOnce, left.rows + more);
    left.at = left.rows === atOnce ? at : left.at + more * eachMs;
    if (left.rows === 0) return false;
    left.rows -= 1;
    return true;
  }

  #takeKinds(): Counted[] {
    const taken = [...this.#kinds.values()];
    this.#kinds = new Map();
    return taken;
  }

  #takeTogether(): Counted[] {
    const taken = [...this.#together.values()];
    this.#together = new Map();
    return taken;
  }

  #write(gathered: readonly Counted[]): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
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

type Counted = AuditSaid & { readonly at: number; readonly count: number };

const toldTogether =
  'more kinds than are told apart, of different callers or about different names';

/** The first one's moment and words stand for all. */
function count(gathered: Gathered, key: string, said: AuditSaid & { readonly at: number }): void {
  const held = gathered.get(key);
  gathered.set(key, held ? { ...held, count: held.count + 1 } : { ...said, count: 1 });
}

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
