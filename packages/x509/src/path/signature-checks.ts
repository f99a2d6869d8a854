import type { AlgorithmIdentifier } from '../algorithm-identifier.ts';
import { verifySignature } from '../signer.ts';
import type { SubjectPublicKeyInfo } from '../spki.ts';
import type { SignatureCache } from './signature-cache.ts';
import type { WorkBudget } from './work-budget.ts';

/** What certificates and CRLs have in common. */
export interface Signed {
  readonly raw: Uint8Array;
  readonly tbs: Uint8Array;
  readonly signatureAlgorithm: AlgorithmIdentifier;
  readonly signature: Uint8Array;
}

/**
 * Verifies each pair of a signed document and a key once in a validation, within the budget. Keys
 * are told apart by their bytes: a key that many certificates certify is still one.
 */
export class SignatureChecks {
  readonly #budget: WorkBudget;
  readonly #cache: SignatureCache | undefined;
  readonly #answers = new Map<Signed, Map<string, boolean>>();

  constructor(budget: WorkBudget, cache: SignatureCache | undefined) {
    this.#budget = budget;
    this.#cache = cache;
  }

  /**
   * False also where the budget is used up; the caller looks at the budget before it believes a
   * refusal.
   */
  verify(signed: Signed, spki: SubjectPublicKeyInfo): boolean {
    const answers = this.#answers.get(signed) ?? new Map<string, boolean>();
    this.#answers.set(signed, answers);
    const key = latin1(spki.raw);
    const known = answers.get(key);
    if (known !== undefined) return known;
    if (this.#cache?.has(spki.raw, signed.raw) === true) {
      answers.set(key, true);
      return true;
    }
    if (!this.#budget.spend('signatureChecks')) return false;
    const verified = verifySignature(spki, signed.signatureAlgorithm, signed.tbs, signed.signature);
    answers.set(key, verified);
    if (verified) this.#cache?.add(spki.raw, signed.raw);
    return verified;
  }
}

function latin1({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
}
