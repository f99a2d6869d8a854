import { type Denial, denial, type Log } from '@countersign/base';
import { type Attested, ended } from '../attest/attest-process.ts';
import type { Entry } from '../entries/entry.ts';
import type { EntryBook } from '../entries/entry-book.ts';
import type { HeldIdentities } from '../svids/held-identities.ts';
import type { Admission, Workload } from './admit-workload.ts';

/** One open stream of a workload, as it is kept up to date. */
export interface LiveStream {
  readonly attested: Attested;
  /** Sends what these entries give now, unless that was sent already. */
  update(entries: readonly Entry[]): void;
  /** Ends it, for its process is entitled to nothing any more. */
  refuse(refusal: Denial): void;
}

interface Followed {
  readonly stream: LiveStream;
  entries: readonly Entry[];
}

/**
 * All open streams. When identities or bundles change they are updated; when the entries change, or the agent is turned
 * away, it is asked again whether each may stay, and those that may not end at once.
 */
export class LiveStreams {
  readonly #admission: Admission;
  readonly #log: Log;
  readonly #followed = new Set<Followed>();
  readonly #unsubscribe: readonly (() => void)[];
  #mustAsk = false;
  #isPlanned = false;

  constructor(options: {
    readonly admission: Admission;
    readonly book: EntryBook;
    readonly identities: HeldIdentities;
    readonly log: Log;
  }) {
    this.#admission = options.admission;
    this.#log = options.log;
    this.#unsubscribe = [
      options.book.onChange(() => this.#plan(true)),
      options.identities.onChange(() => this.#plan(this.#admission.isEvicted)),
    ];
  }

  get count(): number {
    return this.#followed.size;
  }

  /** Updates the stream now and at every change, until the function is called that this answers. */
  follow(stream: LiveStream, { entries }: Workload): () => void {
    const followed = { stream, entries };
    this.#followed.add(followed);
    stream.update(entries);
    return () => this.#followed.delete(followed);
  }

  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#followed.clear();
  }

  /** Changes of one turn are told together: a book that is replaced and the SVIDs that follow are one message. */
  #plan(mustAsk: boolean): void {
    this.#mustAsk ||= mustAsk;
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    setImmediate(() => {
      this.#isPlanned = false;
      const asks = this.#mustAsk;
      this.#mustAsk = false;
      for (const followed of [...this.#followed]) {
        const { process } = followed.stream.attested;
        // Whoever holds its connection by now is somebody else.
        if (!process.isAlive()) this.#end(followed, ended(process));
        else if (!asks) followed.stream.update(followed.entries);
        else void this.#askAgain(followed);
      }
    });
  }

  async #askAgain(followed: Followed): Promise<void> {
    const { stream } = followed;
    try {
      const answer = await this.#admission.ask(stream.attested);
      if (!this.#followed.has(followed)) return;
      if (answer.ok) {
        followed.entries = answer.entries;
        stream.update(answer.entries);
        return;
      }
      this.#end(followed, answer);
    } catch (thrown) {
      this.#log.error({ err: thrown }, 'a stream could not be judged again');
      this.#end(followed, denial('ERR_INTERNAL', 'see the log'));
    }
  }

  #end(followed: Followed, refusal: Denial): void {
    this.#followed.delete(followed);
    followed.stream.refuse(refusal);
  }
}
