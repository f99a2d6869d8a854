import { hash, timingSafeEqual } from 'node:crypto';
import { type Denial, denial } from '@countersign/base';
import { type AlgorithmIdentifier, readAlgorithmIdentifier } from '../algorithm-identifier.ts';
import type { Certificate } from '../certificate.ts';
import { DerReader } from '../der-reader.ts';
import { oidName, oids } from '../oids.ts';
import { type SignatureAlgorithm, signatureAlgorithms } from '../signature-algorithms.ts';
import { verifySignature } from '../signer.ts';
import { cmsOids } from './cms-oids.ts';
import type { SignedData, SignerInfo } from './parse-signed-data.ts';

export type SignedDataVerdict = { readonly ok: true; readonly signer: Certificate } | Denial;

/**
 * Who of the candidates signed (RFC 5652 §5.6): one signer is enough. Whether a candidate is to be trusted, is the
 * caller's to know.
 *
 * Denials: ERR_CMS_SIGNER, ERR_CMS_ALGORITHM, ERR_CMS_DIGEST, ERR_CMS_SIGNATURE: that of the last signer.
 */
export function checkSignedData(
  data: SignedData,
  candidates: readonly Certificate[],
): SignedDataVerdict {
  let refused: SignedDataVerdict | undefined;
  for (const info of data.signers) {
    const verdict = checkSigner(data, info, candidates);
    if (verdict.ok) return verdict;
    refused = verdict;
  }
  return refused ?? denial('ERR_CMS_SIGNER', 'signed data has no signer');
}

function checkSigner(
  { contentType, content }: SignedData,
  info: SignerInfo,
  candidates: readonly Certificate[],
): SignedDataVerdict {
  // 1. Whose key it is said to be.
  const signer = candidates.find((each) => isNamed(each, info));
  if (signer === undefined) {
    const sides = `names none of the ${candidates.length} certificates that may have signed`;
    return denial('ERR_CMS_SIGNER', `signer ${formatSigner(info)} ${sides}`);
  }

  // 2. By which algorithms: SHA-1 and DSA are none.
  const digest = digests.get(info.digestAlgorithm.oid);
  const algorithm = algorithmOf(info.signatureAlgorithm, digest);
  if (digest === undefined || algorithm === undefined) {
    const { digestAlgorithm, signatureAlgorithm } = info;
    const sides = `"${oidName(digestAlgorithm.oid)}" and "${oidName(signatureAlgorithm.oid)}"`;
    return denial(
      'ERR_CMS_ALGORITHM',
      `signed data is signed by ${sides}, SHA-256 at least is wanted`,
    );
  }

  // 3. What was signed: the content, or attributes that hold its digest and type.
  const { attributes, signature } = info;
  if (attributes === undefined && contentType !== cmsOids.data) {
    // RFC 5652 §5.3
    return denial('ERR_CMS_DIGEST', `content of type ${contentType} is signed without attributes`);
  }
  if (attributes !== undefined) {
    if (attributes.contentType !== contentType) {
      const sides = `"${attributes.contentType ?? 'none'}", the content is "${contentType}"`;
      return denial('ERR_CMS_DIGEST', `signed content type is ${sides}`);
    }
    const found = attributes.messageDigest ?? new Uint8Array();
    const wanted = hash(digest, content, 'buffer');
    if (found.byteLength !== wanted.byteLength || !timingSafeEqual(found, wanted)) {
      return denial('ERR_CMS_DIGEST', 'signed digest is not that of the content');
    }
  }
  const signed = attributes?.signed ?? content;
  if (verifySignature(signer.spki, algorithm, signed, signature)) return { ok: true, signer };
  return denial('ERR_CMS_SIGNATURE', `signer ${formatSigner(info)}: signature does not verify`);
}

function isNamed(certificate: Certificate, { by }: SignerInfo): boolean {
  if ('keyId' in by) {
    const { subjectKeyId } = certificate;
    return subjectKeyId !== undefined && Buffer.compare(subjectKeyId, by.keyId) === 0;
  }
  const isSerial = Buffer.compare(certificate.serial, by.serial) === 0;
  return isSerial && Buffer.compare(certificate.issuer.raw, by.issuer) === 0;
}

const digests = new Map<string, 'sha256' | 'sha384' | 'sha512'>([
  [oids.sha256, 'sha256'],
  [oids.sha384, 'sha384'],
  [oids.sha512, 'sha512'],
  // Azure's metadata service writes the signature algorithm there.
  ['1.2.840.113549.1.1.11', 'sha256'],
]);

const rsaBy = {
  sha256: signatureAlgorithms['RSA-SHA256'],
  sha384: signatureAlgorithms['RSA-SHA384'],
  sha512: signatureAlgorithms['RSA-SHA512'],
} as const satisfies Record<string, SignatureAlgorithm>;

/** RFC 3370 §3.2: `rsaEncryption` leaves the hash to the digest's algorithm. */
function algorithmOf(
  written: AlgorithmIdentifier,
  digest: keyof typeof rsaBy | undefined,
): AlgorithmIdentifier | undefined {
  if (written.oid !== oids.rsaEncryption) return signs.test(written.oid) ? written : undefined;
  if (digest === undefined) return undefined;
  return readAlgorithmIdentifier(
    DerReader.over(rsaBy[digest].identifier, 'algorithm'),
    'algorithm',
  );
}

/** Other algorithms of {@link signatureAlgorithms}: RSA with SHA-2 or PSS, ECDSA with SHA-2, Ed25519. */
const signs = /^1\.2\.840\.113549\.1\.1\.1[0-3]$|^1\.2\.840\.10045\.4\.3\.[234]$|^1\.3\.101\.112$/;

function formatSigner({ by }: SignerInfo): string {
  const octets = 'keyId' in by ? by.keyId : by.serial;
  return `"${Buffer.from(octets).toString('hex').slice(0, 80)}"`;
}
