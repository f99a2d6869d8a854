import { type Clock, CountersignError, type Log, noLog } from '@countersign/base';
import type { IssuedCertificate, Ledger } from './ledger.ts';
import {
  type ArgumentsOf,
  type LedgerEngine,
  LedgerFront,
  type OperationName,
  type ResultOf,
} from './ledger-front.ts';
import { ledgerReads, ledgerWrites } from './ledger-rules.ts';
import { MemoryStore } from './memory-store.ts';
import { randomOctets } from './random-octets.ts';

export interface MemoryLedgerOptions {
  readonly clock: Clock;
  readonly log?: Log;
}

/** A ledger with every rule and no durability: for tests and for authorities that live as long as their process. */
export function memoryLedger(options: MemoryLedgerOptions): Ledger {
  const ledger = new LedgerFront((committed) => new MemoryEngine(options.clock, committed), {
    clock: options.clock,
    log: options.log ?? noLog,
  });
  inMemory.add(ledger);
  return ledger;
}

const inMemory = new WeakSet<Ledger>();

/** Whether it is gone with the process. */
export function isInMemory(ledger: Ledger): boolean {
  return inMemory.has(ledger);
}

class MemoryEngine implements LedgerEngine {
  readonly failure = undefined;
  readonly #store = new MemoryStore();
  readonly #clock: Clock;
  readonly #committed: (head: number) => void;
  #closed = false;

  constructor(clock: Clock, committed: (head: number) => void) {
    this.#clock = clock;
    this.#committed = committed;
  }

  async run<N extends OperationName>(name: N, args: ArgumentsOf<N>): Promise<ResultOf<N>> {
    if (this.#closed) throw new CountersignError('ERR_LEDGER_CLOSED', 'the ledger is closed');
    const operation = operations[name] as (...all: unknown[]) => ResultOf<N>;
    const before = this.#store.revocationHead();
    const tx = { store: this.#store, at: this.#clock.now(), random: randomOctets };
    const result = operation(tx, ...ownBytes(name, args));
    const head = this.#store.revocationHead();
    if (head !== before) this.#committed(head);
    return result;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }
}

const operations = { ...ledgerReads, ...ledgerWrites };

/** Records keep bytes of their own: the caller's may be a view of a buffer that is written again. All else is read-only. */
function ownBytes(name: OperationName, args: readonly unknown[]): readonly unknown[] {
  if (name !== 'issued') return args;
  const [issued] = args as readonly [IssuedCertificate];
  return [{ ...issued, der: issued.der.slice() }];
}
