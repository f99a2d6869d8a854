import { type Denial, denial, type Log, messageOf } from '@countersign/base';
import type { PeerProcess } from '../peer/peer-process.ts';
import { type SelectorKind, selectorKinds } from './selector-kinds.ts';

/** What is known of a process: selectors, of the kinds that were asked for so far. */
export class Attested {
  readonly process: PeerProcess;
  readonly #log: Log;
  readonly #selectors = new Set<string>();
  readonly #read = new Set<SelectorKind>();

  constructor(process: PeerProcess, log: Log) {
    this.process = process;
    this.#log = log;
  }

  get selectors(): ReadonlySet<string> {
    return this.#selectors;
  }

  /**
   * Reads what was not read yet. A process that has ended by the time all is read was not attested: its number may have
   * been another's meanwhile. Denials: ERR_AGENT_PEER.
   */
  async learn(kinds: Iterable<SelectorKind>): Promise<{ readonly ok: true } | Denial> {
    const found: string[] = [];
    const missing = [...kinds].filter((kind) => !this.#read.has(kind));
    for (const kind of missing) found.push(...(await this.#ask(kind)));
    if (!this.process.isAlive()) return ended(this.process);
    for (const kind of missing) this.#read.add(kind);
    for (const selector of found) this.#selectors.add(selector);
    return { ok: true };
  }

  /** For a refusal, which tells the operator everything that could be seen. */
  learnAll(): Promise<{ readonly ok: true } | Denial> {
    return this.learn(selectorKinds);
  }

  async #ask(kind: SelectorKind): Promise<readonly string[]> {
    try {
      const values = await kind.read(this.process);
      return values.map((value) => `${kind.name}:${value}`);
    } catch (thrown) {
      // Missing rights, or the process has ended, which is found out next: either way it is without this selector.
      const { pid } = this.process;
      this.#log.debug({ pid, selector: kind.name, reason: messageOf(thrown) }, 'selector not read');
      return [];
    }
  }
}

export function ended({ pid, uid }: PeerProcess): Denial {
  return denial('ERR_AGENT_PEER', `process ${pid} of uid ${uid} has ended`, { pid, uid });
}
