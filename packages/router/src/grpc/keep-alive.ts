import type { ClientHttp2Session } from 'node:http2';
import { type Clock, CountersignError } from '@countersign/base';

/** From a PING to its answer. */
const answerMs = 5000;

/** Asks whether the other side is still there, and ends the connection if there is no answer. */
export function probe(session: ClientHttp2Session, clock: Clock): Promise<void> {
  if (session.destroyed) return Promise.resolve();
  const over = new AbortController();
  const answered = Promise.withResolvers<void>();
  clock.sleep(answerMs, { signal: over.signal, ref: false }).then(
    () => {
      const detail = `no answer to a PING within ${answerMs} ms`;
      session.destroy(new CountersignError('ERR_SUBGRAPH_TIMEOUT', detail));
      answered.resolve();
    },
    () => answered.resolve(),
  );
  session.ping(() => over.abort());
  return answered.promise;
}

/**
 * Asks a connection on which something streams, again and again, whether the other side is still there: nothing else
 * would tell one that has vanished from one that has no news. Never while nothing streams, for which servers close
 * connections.
 */
export class KeepAlive {
  readonly #session: ClientHttp2Session;
  readonly #everyMs: number;
  readonly #clock: Clock;
  #heardAt: number;
  #streams = 0;
  #over = new AbortController();

  /** @param session new: its server was heard just now */
  constructor(session: ClientHttp2Session, everyMs: number, clock: Clock) {
    this.#session = session;
    this.#everyMs = everyMs;
    this.#clock = clock;
    this.#heardAt = clock.now();
  }

  /** Something streams. @returns to be called once, when it does no more */
  hold(): () => void {
    this.#streams += 1;
    if (this.#streams === 1) {
      this.#over = new AbortController();
      void this.#ask(this.#over.signal);
    }
    return () => {
      this.#streams -= 1;
      if (this.#streams === 0) this.#over.abort();
    };
  }

  async #ask(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.#session.destroyed) {
      const ms = this.#heardAt + this.#everyMs - this.#clock.now();
      if (ms > 0) {
        await this.#clock.sleep(ms, { signal, ref: false }).catch(() => {});
        continue;
      }
      await probe(this.#session, this.#clock);
      this.#heardAt = this.#clock.now();
    }
  }
}
