import { hash } from 'node:crypto';
import type { Certificate } from '../certificate.ts';
import { der } from '../der-writer.ts';
import { oids } from '../oids.ts';
import type { Signer } from '../signer.ts';
import { contextConstructed, tags } from '../tags.ts';
import { cmsOids } from './cms-oids.ts';

export interface SignedDataTemplate {
  /** Dotted OID of what is signed. */
  readonly contentType: string;
  readonly content: Uint8Array;
  readonly signer: Signer;
  /** Of the signer's key, and what stands above it: leaf first, at least one. */
  readonly chain: readonly [Certificate, ...Certificate[]];
}

/** DER of a ContentInfo with {@link signedDataOf}. */
export async function buildSignedData(template: SignedDataTemplate): Promise<Uint8Array> {
  const signedData = await signedDataOf(template);
  return der.sequence(der.oid(cmsOids.signedData), der.explicit(0, signedData)).slice();
}

/** DER of SignedData (RFC 5652 §5) of one signer, as it stands inside something else; the digest is SHA-256. */
export async function signedDataOf(template: SignedDataTemplate): Promise<Uint8Array> {
  const { contentType, content, signer, chain } = template;
  const [leaf] = chain;
  const sha256 = der.sequence(der.oid(oids.sha256));
  // RFC 5652 §11.1, §11.2: both are there where anything but plain data is signed
  const attributes = [
    attribute(cmsOids.contentType, der.oid(contentType)),
    attribute(cmsOids.messageDigest, der.octetString(hash('sha256', content, 'buffer'))),
  ];
  // RFC 5652 §5.4: signed as the SET OF that they are, sent as [0]
  const signed = der.setOf(...attributes);
  const signature = await signer.sign(signed);
  const signerInfo = der.sequence(
    der.integer(1),
    der.sequence(leaf.issuer.raw, der.integerOctets(leaf.serial)),
    sha256,
    der.element(contextConstructed(0), [signed.subarray(headerLength(signed))]),
    signer.algorithm.identifier,
    der.octetString(signature),
  );
  return der.sequence(
    // RFC 5652 §5.1: 3, since what is signed is not plain data
    der.integer(contentType === cmsOids.data ? 1 : 3),
    der.setOf(sha256),
    der.sequence(der.oid(contentType), der.explicit(0, der.octetString(content))),
    der.contextSetOf(0, ...chain.map(({ raw }) => raw)),
    der.element(tags.set, [signerInfo]),
  );
}

function attribute(type: string, value: Uint8Array): Uint8Array {
  return der.sequence(der.oid(type), der.setOf(value));
}

/** Octets before the content of an element. */
function headerLength(element: Uint8Array): number {
  const first = element[1] ?? 0;
  return first < 0x80 ? 2 : 2 + (first & 0x7f);
}
