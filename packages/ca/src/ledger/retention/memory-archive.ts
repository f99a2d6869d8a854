import type { RevocationRecord, TokenRecord } from '../ledger.ts';
import type { ArchiveStore } from './archive-store.ts';
import { type EndedIntent, type RetentionState, retentionAtFirst } from './retention-records.ts';

export interface MemoryTables {
  /** Every one, archived or not, ascending. */
  intents(): readonly EndedIntent[];
  tokens(): readonly TokenRecord[];
  revocation(position: number | undefined): RevocationRecord | undefined;
}

/** The archive of a ledger in memory: positions that its look-ups pass over. */
export class MemoryArchive implements ArchiveStore {
  readonly #tables: MemoryTables;
  /** By position of the intent, that of the revocation. */
  readonly #intents = new Map<number, number | undefined>();
  readonly #others = new Set<number>();
  #state = retentionAtFirst;

  constructor(tables: MemoryTables) {
    this.#tables = tables;
  }

  /** Whether a record of any kind was archived. */
  has(position: number): boolean {
    return this.#intents.has(position) || this.#others.has(position);
  }

  state(): RetentionState {
    return this.#state;
  }

  keepState(state: RetentionState): void {
    this.#state = state;
  }

  intentsAfter(after: number, limit: number): readonly EndedIntent[] {
    const stay = this.#tables.intents().filter(({ record }) => !this.has(record.position));
    return stay.filter(({ record }) => record.position > after).slice(0, limit);
  }

  tokensAfter(after: number, limit: number): readonly TokenRecord[] {
    const stay = this.#tables.tokens().filter(({ position }) => !this.has(position));
    return stay.filter(({ position }) => position > after).slice(0, limit);
  }

  move: ArchiveStore['move'] = ({ intents, tokens, revocations }) => {
    for (const { position, revocation } of intents) this.#intents.set(position, revocation);
    for (const position of tokens) this.#others.add(position);
    for (const { position, intent, covering } of revocations) {
      this.#others.add(position);
      this.#intents.set(intent, covering);
    }
  };

  archived(intent: number): { readonly revocation: RevocationRecord | undefined } | undefined {
    if (!this.#intents.has(intent)) return undefined;
    return { revocation: this.#tables.revocation(this.#intents.get(intent)) };
  }

  isArchivedRevocation(position: number): boolean {
    return this.#others.has(position);
  }
}
