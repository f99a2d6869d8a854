import { type Denial, denial } from '@countersign/base';
import { type Certificate, type PathResult, validatePath } from '@countersign/x509';
import { attributeOfTpm, tpmNameAttributes } from './tpm-names.ts';

/** TCG EK Credential Profile §3.1.2; WebAuthn §8.3.1: `tcg-kp-AIKCertificate`. */
const attestationPurpose = '2.23.133.8.3';

/**
 * Whether a certificate makes its key an attestation key that one of the roots vouches for.
 *
 * Denials: ERR_ATTEST_KEY_CERTIFICATE, and those of path validation.
 */
export function judgeKeyCertificate(
  [leaf, ...intermediates]: readonly [Certificate, ...Certificate[]],
  roots: readonly Certificate[],
  at: number,
): PathResult {
  const wrong = wrongWithForm(leaf);
  if (wrong !== undefined) return wrong;
  return validatePath({ leaf, intermediates, anchors: roots, at, maxDepth: 4 });
}

/** WebAuthn §8.3.1. A subject is let pass, though that has it empty: authorities of one's own fill it in. */
function wrongWithForm(certificate: Certificate): Denial | undefined {
  const { version, basicConstraints, extKeyUsage } = certificate;
  const refuse = (why: string) =>
    denial('ERR_ATTEST_KEY_CERTIFICATE', `certificate of the attestation key: ${why}`);
  if (version !== 3) return refuse(`it is of version ${version}, expected 3`);
  if (basicConstraints?.ca === true) return refuse('it is that of a CA');
  if (extKeyUsage?.includes(attestationPurpose) !== true) {
    const found = extKeyUsage?.join(', ') ?? 'none';
    return refuse(`extended key usage is ${found}, expected ${attestationPurpose}`);
  }
  const told = attributeOfTpm(certificate);
  const missing = tpmNameAttributes.find(([, name]) => told[name] === undefined);
  return missing === undefined
    ? undefined
    : refuse(`its alternative names lack the TPM's ${missing[1]} (${missing[0]})`);
}
