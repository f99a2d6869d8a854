import { assembleCertificate } from './build-certificate.ts';
import { der } from './der-writer.ts';
import type { Extension } from './extension.ts';
import { encodeExtensions } from './extension-builders.ts';
import type { Name } from './name.ts';
import { oids } from './oids.ts';
import type { Signer } from './signer.ts';

/** What a PKCS #10 request says. */
export interface CertificateRequestTemplate {
  /** Of the key that the request is for. */
  readonly signer: Signer;
  /** Empty unless given. */
  readonly subject?: Name;
  readonly extensions?: readonly Extension[];
}

/** DER of a signed PKCS #10 request. */
export async function buildCertificateRequest(
  template: CertificateRequestTemplate,
): Promise<Uint8Array> {
  const { signer, subject, extensions = [] } = template;
  const tbs = der.sequence(
    der.integer(0),
    subject?.raw ?? der.sequence(),
    signer.spki.raw,
    extensions.length === 0 ? der.contextSetOf(0) : der.contextSetOf(0, requestOf(extensions)),
  );
  return assembleCertificate(tbs, signer.algorithm, await signer.sign(tbs));
}

function requestOf(extensions: readonly Extension[]): Uint8Array {
  return der.sequence(der.oid(oids.extensionRequest), der.setOf(encodeExtensions(extensions)));
}
