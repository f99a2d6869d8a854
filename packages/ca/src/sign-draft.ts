import { CountersignError, equalBytes, messageOf } from '@countersign/base';
import {
  assembleCertificate,
  type Certificate,
  parseCertificate,
  type Signer,
} from '@countersign/x509';
import type { Intent } from './ledger/ledger.ts';
import type { LintedDraft } from './linted-draft.ts';

/**
 * The one place where a certificate is signed: evidence of the lint, the ledger's intent, and the key, together.
 * The result is read back; that the key makes good signatures is proved when it is opened.
 *
 * @throws CountersignError ERR_SIGNER, ERR_LINT
 */
export async function signDraft(
  draft: LintedDraft,
  intent: Intent,
  signer: Signer,
): Promise<Certificate> {
  const tbs = draft.spend(intent.serial);
  const signature = await signatureOf(tbs, signer);
  const certificate = parseCertificate(assembleCertificate(tbs, draft.algorithm, signature));
  const asOrdered = certificate.serialHex === intent.serialHex && equalBytes(certificate.tbs, tbs);
  if (!asOrdered) {
    const sides = `serial "${certificate.serialHex}" was signed, "${intent.serialHex}" is intended`;
    throw new CountersignError('ERR_SIGNER', `read the signed certificate back: ${sides}`);
  }
  return certificate;
}

async function signatureOf(tbs: Uint8Array, signer: Signer): Promise<Uint8Array> {
  try {
    const signature = await signer.sign(tbs);
    if (signature.byteLength >= 64) return signature;
    throw new RangeError(`a signature of ${signature.byteLength} octets`);
  } catch (thrown) {
    throw new CountersignError(
      'ERR_SIGNER',
      `sign with ${signer.algorithm.name}: ${messageOf(thrown)}`,
      {
        cause: thrown,
      },
    );
  }
}
