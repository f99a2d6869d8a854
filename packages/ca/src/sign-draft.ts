import { CountersignError, messageOf } from '@countersign/base';
import { assembleCertificate, type Signer } from '@countersign/x509';
import type { Intent } from './ledger/ledger.ts';
import type { LintedDraft } from './linted-draft.ts';

/**
 * The one place where a certificate is signed: evidence of the lint, the ledger's intent, and the key, together.
 * That the key makes good signatures was proved when it was opened (`openAuthority`), and OpenSSL checks its own RSA
 * signatures; who is given the certificate verifies it before use.
 *
 * @returns DER
 * @throws CountersignError ERR_SIGNER, what a store of keys says of itself (ERR_SIGNER_*), ERR_LINT
 */
export async function signDraft(
  draft: LintedDraft,
  intent: Pick<Intent, 'serial'>,
  signer: Signer,
): Promise<Uint8Array> {
  const tbs = draft.spend(intent.serial);
  try {
    const signature = await signer.sign(tbs);
    if (signature.byteLength < shortestSignature) {
      throw new RangeError(`a signature of ${signature.byteLength} octets`);
    }
    return assembleCertificate(tbs, draft.algorithm, signature);
  } catch (thrown) {
    if (thrown instanceof CountersignError && thrown.code.startsWith('ERR_SIGNER')) throw thrown;
    const message = `sign with ${signer.algorithm.name}: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_SIGNER', message, { cause: thrown });
  }
}

const shortestSignature = 64;
