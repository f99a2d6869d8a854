import type { Denial } from '@countersign/base';
import { judgeKey, type KeyKind, keyKindOf, type SubjectPublicKeyInfo } from '@countersign/x509';
import type { Ledger } from '../ledger/ledger.ts';
import { isInMemory } from '../ledger/memory-ledger.ts';

const minted = Symbol('trial keys');
/** Clients' own tests ask with such keys, to be done sooner. */
const smallestRsaBits = 1024;

/**
 * Evidence that an authority is for trials alone, which lets it certify RSA keys of 1024 bits. {@link trialKeysOf} is its
 * one factory: of a ledger that outlives its process there is none.
 */
export class TrialKeys {
  readonly #ledger: Ledger;

  constructor(evidence: typeof minted, ledger: Ledger) {
    if (evidence !== minted) throw new TypeError('TrialKeys are made by trialKeysOf only');
    this.#ledger = ledger;
  }

  /** @throws TypeError where it is evidence about another authority's ledger */
  mustBeOf(ledger: Ledger): void {
    if (this.#ledger !== ledger) throw new TypeError('keys for trials, and another ledger');
  }
}

/** @throws TypeError for a ledger that is not in memory alone */
export function trialKeysOf(ledger: Ledger): TrialKeys {
  if (!isInMemory(ledger)) throw new TypeError('keys for trials, and a ledger that is kept');
  return new TrialKeys(minted, ledger);
}

/** As `judgeKey`; with the evidence RSA keys of 1024 bits pass too. Denials: ERR_KEY_*. */
export function judgeKeyWith(
  trial: TrialKeys | undefined,
  spki: SubjectPublicKeyInfo,
): { readonly ok: true; readonly kind: KeyKind } | Denial {
  const judged = judgeKey(spki);
  if (judged.ok || trial === undefined || judged.code !== 'ERR_KEY_WEAK') return judged;
  const kind = keyKindOf(spki);
  const isLetPass = kind?.type === 'RSA' && kind.bits >= smallestRsaBits && kind.bits < 2048;
  return isLetPass ? { ok: true, kind } : judged;
}
