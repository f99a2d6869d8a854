import type { Counter, Denial, Log, Meter } from '@countersign/base';
import { denial } from '@countersign/base';
import { Attested } from '../attest/attest-process.ts';
import type { Entry } from '../entries/entry.ts';
import type { EntryBook } from '../entries/entry-book.ts';
import type { ServerCall } from '../grpc/server-call.ts';
import type { SvidKeeper } from '../svids/svid-keeper.ts';

/** A process that made a call, and the entries that it is entitled to now. */
export interface Workload {
  readonly ok: true;
  readonly attested: Attested;
  readonly entries: readonly Entry[];
}

export interface AdmissionOptions {
  readonly book: EntryBook;
  readonly keeper: SvidKeeper;
  readonly log: Log;
  readonly meter: Meter;
}

/** The operator reads every refusal; of one process that asks in a loop, one line in this time. */
const sameRefusalMs = 10_000;

/** Decides who a caller is, at its call and again whenever the entries change: the same question both times. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #results: Counter;
  readonly #told = new Map<string, number>();
  readonly #now: () => number;

  constructor(options: AdmissionOptions & { readonly now: () => number }) {
    this.#options = options;
    this.#now = options.now;
    this.#results = options.meter.counter({
      name: 'countersign_agent_calls_total',
      help: 'Calls of workloads by method and result: ok, or the code of the refusal.',
      labels: ['method', 'result'],
    });
  }

  get isEvicted(): boolean {
    return this.#options.keeper.evicted !== undefined;
  }

  /** Denials: ERR_AGENT_PEER, ERR_AGENT_NO_IDENTITY, ERR_AGENT_EVICTED. */
  async admit(call: ServerCall, method: string): Promise<Workload | Denial> {
    const answer = await this.ask(new Attested(call.peer, this.#options.log));
    this.count(method, answer);
    return answer;
  }

  async ask(attested: Attested): Promise<Workload | Denial> {
    const { evicted } = this.#options.keeper;
    if (evicted !== undefined) return denial('ERR_AGENT_EVICTED', evicted.detail, evicted.fields);
    const entitled = await this.#options.book.entitled(attested);
    if (entitled.ok) return { ok: true, attested, entries: entitled.entries };
    this.#tell(attested, entitled);
    return entitled;
  }

  count(method: string, answer: { readonly ok: true } | Denial): void {
    this.#results.add(1, { method, result: answer.ok ? 'ok' : answer.code });
  }

  #tell({ process }: Attested, { code, detail, fields }: Denial): void {
    const now = this.#now();
    const key = `${process.pid} ${code}`;
    if (now - (this.#told.get(key) ?? Number.NEGATIVE_INFINITY) < sameRefusalMs) return;
    for (const [told, at] of this.#told) if (now - at >= sameRefusalMs) this.#told.delete(told);
    this.#told.set(key, now);
    this.#options.log.warn({ ...fields, code }, `no identity issued: ${detail}`);
  }
}
