import { der } from './der-writer.ts';
import type { Extension } from './extension.ts';
import { encodeExtensions } from './extension-builders.ts';
import type { Name } from './name.ts';
import { positiveSerial } from './serial.ts';
import type { SignatureAlgorithm } from './signature-algorithms.ts';
import type { Signer } from './signer.ts';
import type { SubjectPublicKeyInfo } from './spki.ts';

/** What a version 3 certificate says. */
export interface CertificateTemplate {
  /** Content octets of the INTEGER; a leading 00 is added where the first bit is set, for it must be positive. */
  readonly serial: Uint8Array;
  readonly issuer: Name;
  readonly subject: Name;
  /** Ms since the epoch, rounded down to the second. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly spki: SubjectPublicKeyInfo;
  /** In this order; distinct. */
  readonly extensions: readonly Extension[];
}

/** DER of the TBSCertificate. The template is trusted: who issues checks it before. */
export function buildTbsCertificate(
  template: CertificateTemplate,
  algorithm: SignatureAlgorithm,
): Uint8Array {
  const parts = [
    version3,
    der.integerOctets(positiveSerial(template.serial)),
    algorithm.identifier,
    template.issuer.raw,
    der.sequence(der.time(template.notBefore), der.time(template.notAfter)),
    template.subject.raw,
    template.spki.raw,
  ];
  if (template.extensions.length > 0) {
    parts.push(der.explicit(3, encodeExtensions(template.extensions)));
  }
  return der.sequence(...parts);
}

/** DER of what was signed, with its signature: a certificate, a request or a list. */
export function assembleCertificate(
  tbs: Uint8Array,
  algorithm: SignatureAlgorithm,
  signature: Uint8Array,
): Uint8Array {
  return der.sequence(tbs, algorithm.identifier, der.bitString(signature)).slice();
}

/** Both in one: DER of a signed certificate. */
export async function signCertificate(
  template: CertificateTemplate,
  signer: Signer,
): Promise<Uint8Array> {
  const tbs = buildTbsCertificate(template, signer.algorithm);
  return assembleCertificate(tbs, signer.algorithm, await signer.sign(tbs));
}

const version3 = der.explicit(0, der.integer(2));
