import { type Denial, denial, type Log } from '@countersign/base';
import { ChangeSignal, type Changes } from '@countersign/spiffe';
import type { Attested } from '../attest/attest-process.ts';
import type { SelectorKind } from '../attest/selector-kinds.ts';
import type { Entry } from './entry.ts';

export type Origin = 'file' | 'authority';

/** All registration entries in force: those of the file in its order, then the authority's. */
export class EntryBook implements Changes {
  readonly #byOrigin: Record<Origin, readonly Entry[]> = { file: [], authority: [] };
  readonly #changes: ChangeSignal;
  #entries: readonly Entry[] = [];
  #kinds: ReadonlySet<SelectorKind> = new Set();

  constructor(log: Log) {
    this.#changes = new ChangeSignal((thrown) => {
      log.error({ err: thrown }, 'a listener to the entries failed');
    });
  }

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /** Replaces all of one origin. Where both have an id, the file's stands. */
  replace(origin: Origin, entries: readonly Entry[]): void {
    this.#byOrigin[origin] = entries;
    const byId = new Map<string, Entry>();
    for (const entry of [...this.#byOrigin.file, ...this.#byOrigin.authority]) {
      if (!byId.has(entry.id)) byId.set(entry.id, entry);
    }
    this.#entries = [...byId.values()];
    this.#kinds = new Set(this.#entries.flatMap((entry) => [...entry.kinds]));
    this.#changes.notify();
  }

  /**
   * The entries whose every selector the process has, in order. Denials: ERR_AGENT_PEER, and ERR_AGENT_NO_IDENTITY with
   * what was seen and which entry was closest.
   */
  async entitled(
    attested: Attested,
  ): Promise<{ readonly ok: true; readonly entries: readonly Entry[] } | Denial> {
    const learnt = await attested.learn(this.#kinds);
    if (!learnt.ok) return learnt;
    const entries = this.#entries.filter((entry) => missingOf(entry, attested).length === 0);
    if (entries.length > 0) return { ok: true, entries };
    const seen = await attested.learnAll();
    return seen.ok ? noIdentity(attested, this.#entries) : seen;
  }
}

function missingOf(entry: Entry, { selectors }: Attested): readonly string[] {
  return entry.selectors.filter((selector) => !selectors.has(selector));
}

function noIdentity(attested: Attested, entries: readonly Entry[]): Denial {
  const { pid } = attested.process;
  const seen = [...attested.selectors];
  const fields = { pid, selectors: seen };
  const had = `process ${pid} has ${seen.join(', ')}`;
  const [closest] = entries
    .map((entry) => ({ entry, missing: missingOf(entry, attested) }))
    .sort((a, b) => shareMissing(a) - shareMissing(b));
  if (closest === undefined) {
    return denial('ERR_AGENT_NO_IDENTITY', `${had}; there are no registration entries`, fields);
  }
  const { entry, missing } = closest;
  return denial(
    'ERR_AGENT_NO_IDENTITY',
    `${had}; closest is the entry for "${entry.spiffeId}", of which it lacks ${missing.join(', ')}`,
    { ...fields, closest: entry.id, lacks: missing },
  );
}

function shareMissing({ entry, missing }: { entry: Entry; missing: readonly string[] }): number {
  return missing.length / entry.selectors.length;
}
