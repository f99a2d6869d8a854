import type { RevocationBy } from './ledger.ts';

/** As many are remembered; then it begins anew. */
const mostRemembered = 10_000;

/**
 * Values that no revocation in the ledger names. An order asks about the same name and provisioner as the one before it,
 * several times each; almost none was ever revoked. Right as long as the store is the only one that writes.
 */
export class UnrevokedValues {
  readonly #values = new Set<string>();

  has(by: RevocationBy, value: string): boolean {
    return this.#values.has(`${by} ${value}`);
  }

  add(by: RevocationBy, value: string): void {
    if (this.#values.size >= mostRemembered) this.#values.clear();
    this.#values.add(`${by} ${value}`);
  }

  /** Also where the revocation is undone later: then it is looked up again. */
  delete(by: RevocationBy, value: string): void {
    this.#values.delete(`${by} ${value}`);
  }
}
