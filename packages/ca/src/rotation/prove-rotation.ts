import { hash } from 'node:crypto';
import { CountersignError, equalBytes } from '@countersign/base';
import { type Certificate, fingerprintOf, verifySignature } from '@countersign/x509';
import { rootName } from './hierarchy-view.ts';
import {
  configNameOf,
  type Generation,
  ledgerNameOf,
  type RotationDocument,
} from './rotation-document.ts';

/**
 * Whether a document follows from the root that init made: each root was signed by one before it, each intermediate by
 * a generation above, each key is that of its certificates. Whoever can write to the ledger, and has no key of the
 * hierarchy, can bring no root into the trust bundle.
 *
 * @param rootFingerprint of the root that init made, as `state.json` has it
 * @throws CountersignError ERR_ROTATION_PROOF
 */
export function proveRotation({ generations }: RotationDocument, rootFingerprint: string): void {
  const proved = new Map<string, Certificate>();
  const later = new Set(generations);
  // Whoever signed is proved first, and the order of the list is not to be relied on.
  for (let before = -1; before !== proved.size; ) {
    before = proved.size;
    for (const generation of later) {
      if (!isProved(generation, proved, rootFingerprint)) continue;
      const [first] = generation.certificates;
      if (first !== undefined) proved.set(ledgerNameOf(generation), first.certificate);
      later.delete(generation);
    }
  }
  // Two roots may have signed each other: what was passed over is looked at once both are known.
  for (const generation of generations) {
    if (generation.certificates.some(({ by, certificate }) => !isBy(by, certificate, proved))) {
      later.add(generation);
    }
  }
  const [unproved] = later;
  if (unproved !== undefined) {
    const name = ledgerNameOf(unproved);
    const message = `"${name}" of the ledger's hierarchy does not follow from root "${rootFingerprint}"`;
    throw new CountersignError('ERR_ROTATION_PROOF', message, { fields: { name } });
  }
}

function isProved(
  generation: Generation,
  proved: ReadonlyMap<string, Certificate>,
  rootFingerprint: string,
): boolean {
  const { name, number, phase, certificates, key } = generation;
  const [first] = certificates;
  // Nothing relies on a key without a certificate.
  if (first === undefined) return phase === 'making' || phase === 'dropped';
  const { spki, subject } = first.certificate;
  if (key !== undefined && key.publicKey !== hash('sha256', spki.raw)) return false;
  const self = ledgerNameOf(generation);
  const isFirstRoot = name === rootName && number === 1;
  let isVouchedFor = isFirstRoot;
  for (const { by, certificate } of certificates) {
    const isSame =
      equalBytes(certificate.spki.raw, spki.raw) &&
      equalBytes(certificate.subject.raw, subject.raw);
    if (!isSame || certificate.basicConstraints?.ca !== true) return false;
    if (by === self) {
      if (name !== rootName || !isSignedBy(certificate, certificate)) return false;
      if (isFirstRoot && fingerprintOf(certificate) !== rootFingerprint) return false;
      continue;
    }
    if (name === rootName && configNameOf(by) !== rootName) return false;
    if (proved.has(by) && !isBy(by, certificate, proved)) return false;
    if (proved.has(by)) isVouchedFor = true;
  }
  return isVouchedFor;
}

function isBy(
  by: string,
  certificate: Certificate,
  proved: ReadonlyMap<string, Certificate>,
): boolean {
  const signer = proved.get(by);
  return signer !== undefined && isSignedBy(certificate, signer);
}

function isSignedBy(certificate: Certificate, signer: Certificate): boolean {
  const { issuer, tbs, signature, signatureAlgorithm } = certificate;
  return (
    equalBytes(issuer.raw, signer.subject.raw) &&
    verifySignature(signer.spki, signatureAlgorithm, tbs, signature)
  );
}
