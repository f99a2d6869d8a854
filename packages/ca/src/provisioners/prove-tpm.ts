import { hash } from 'node:crypto';
import { CountersignError, type Denial, denial, equalBytes } from '@countersign/base';
import { type TpmEvidence, tpmQualifying } from '@countersign/wire';
import {
  type Certificate,
  parseCertificate,
  parseTpmAttest,
  parseTpmPublic,
  parseTpmSignature,
  type TpmAttribute,
  type TpmPublic,
  validatePath,
  verifyTpmSignature,
} from '@countersign/x509';
import { attributeOfTpm, type TpmNameAttribute } from '../attestation/tpm-names.ts';
import type { ProvedToken } from './prove-token.ts';
import type { ProvisionerConfig } from './provisioner-config.ts';
import { certificatesIn } from './provisioner-file.ts';
import type { TpmChallenges } from './tpm-challenges.ts';

/** TCG EK Credential Profile §3.2.16: `tcg-kp-EKCertificate`. */
const endorsementPurpose = '2.23.133.8.1';

interface TpmQuestion {
  readonly at: number;
  /** Of the request. */
  readonly spki: Uint8Array;
  readonly challenges: TpmChallenges;
}

/**
 * A machine by its TPM: whoever asks has the TPM of this endorsement key, and an attestation key in it vouches for the key
 * of the request. Whether such a machine may come, its claims say: `ek`, SHA-256 of the endorsement key's
 * SubjectPublicKeyInfo in lowercase hex, and by roots what its certificate says of the TPM.
 *
 * Denials: ERR_PROVISIONER_TOKEN.
 *
 * @throws CountersignError ERR_PROVISIONER_FILE
 */
export async function proveTpm(
  provisioner: ProvisionerConfig,
  evidence: TpmEvidence,
  asked: TpmQuestion,
): Promise<ProvedToken | Denial> {
  const roots =
    provisioner.rootsFile === undefined ? undefined : await certificatesIn(provisioner.rootsFile);
  const answer = await proveInSteps(evidence, roots, asked).catch((thrown: unknown) => {
    if (!(thrown instanceof CountersignError) || !/^ERR_(?:TPM|DER|CERT|KEY)_/.test(thrown.code))
      throw thrown;
    return thrown.message;
  });
  if (typeof answer !== 'string') return answer;
  const { name } = provisioner;
  return denial('ERR_PROVISIONER_TOKEN', `TPM for provisioner "${name}": ${answer}`);
}

async function proveInSteps(
  evidence: TpmEvidence,
  roots: readonly Certificate[] | undefined,
  { at, spki, challenges }: TpmQuestion,
): Promise<ProvedToken | string> {
  // 1. The TPM of the endorsement key has opened what was made for the attestation key.
  const endorsement = parseTpmPublic(evidence.endorsement);
  const attestation = parseTpmPublic(evidence.attestation);
  const unopened = await challenges.wrongWith(evidence);
  if (unopened !== undefined) return unopened;

  // 2. That key is bound to it, and signs nothing but what the TPM states: this quote for this request's key.
  const loose = wrongWithAttestation(attestation);
  if (loose !== undefined) return loose;
  const attest = parseTpmAttest(evidence.attest);
  const signature = parseTpmSignature(evidence.signature);
  if (!verifyTpmSignature(attestation.spki, attest.raw, signature)) {
    return 'the quote is not signed by the attestation key';
  }
  if (attest.attested.kind !== 'quote') return `a "${attest.attested.kind}", expected a quote`;
  if (!equalBytes(attest.extraData, tpmQualifying(evidence.content, spki))) {
    return "the quote is not of this challenge, or not for the request's key";
  }

  // 3. Whose TPM it is.
  const ek = hash('sha256', endorsement.spki.raw);
  const said = roots === undefined ? {} : claimsByRoots(evidence, endorsement, roots, at);
  if (typeof said === 'string') return said;
  return {
    ok: true,
    claims: { ek, ...said },
    certificate: undefined,
    subject: ek,
    evidence: `quote by the TPM with endorsement key "${ek}"`,
    instance: { id: ek, madeAt: undefined },
  };
}

/** Without all of them it might be a key that was loaded from outside. */
const bound: readonly TpmAttribute[] = [
  'fixedTpm',
  'fixedParent',
  'sensitiveDataOrigin',
  'restricted',
  'sign',
];

function wrongWithAttestation({ attributes }: TpmPublic): string | undefined {
  const missing = bound.filter((each) => !attributes.has(each));
  return missing.length === 0
    ? undefined
    : `the attestation key lacks "${missing.join('", "')}": it is not bound to the TPM`;
}

function claimsByRoots(
  { certificates }: TpmEvidence,
  endorsement: TpmPublic,
  anchors: readonly Certificate[],
  at: number,
): Readonly<Partial<Record<TpmNameAttribute, string>>> | string {
  const [leaf, ...intermediates] = certificates.map((der) => parseCertificate(der));
  if (leaf === undefined) return 'there is no certificate of the endorsement key';
  if (!equalBytes(leaf.spki.raw, endorsement.spki.raw)) {
    return 'the certificate is not of the endorsement key';
  }
  const { extKeyUsage } = leaf;
  if (extKeyUsage?.includes(endorsementPurpose) === false) {
    return `the certificate is for ${extKeyUsage.join(', ')}, expected ${endorsementPurpose}`;
  }
  const path = validatePath({ leaf, intermediates, anchors, at, maxDepth: 4 });
  return path.ok ? attributeOfTpm(leaf) : path.detail;
}
