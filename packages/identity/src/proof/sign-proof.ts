import { type Clock, CountersignError } from '@countersign/base';
import { type KeyProof, keyProofText } from '@countersign/wire';
import { defaultAlgorithmOf, keyKindOf, type Signer } from '@countersign/x509';

/**
 * A long-term key, such as one that never leaves its hardware: it signs enrolment and renewals, and so vouches for each
 * short-lived key. By the default algorithm of its kind.
 */
export type ProofKey = Signer;

/** @throws CountersignError ERR_IDENTITY_PROOF_KEY, and what the signer throws */
export async function signProof(
  signer: ProofKey,
  csr: Uint8Array,
  clock: Clock,
): Promise<KeyProof> {
  const kind = keyKindOf(signer.spki);
  const usual = kind && defaultAlgorithmOf(kind);
  if (usual?.name !== signer.algorithm.name) {
    const sides = `signs by ${signer.algorithm.name}, expected ${usual?.name ?? 'a key that is understood'}`;
    throw new CountersignError('ERR_IDENTITY_PROOF_KEY', `the proof key ${sides}`);
  }
  const said = { key: signer.spki.raw, at: clock.now() };
  return { ...said, signature: await signer.sign(keyProofText(said, csr)) };
}
