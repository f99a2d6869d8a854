import { toHex } from '@countersign/base';
import { type Certificate, keyIdOf } from '@countersign/x509';
import { configNameOf } from '../rotation/rotation-document.ts';

/**
 * What an issuer's files are called. The key is part of it, so that a successor of the same name publishes beside its
 * predecessor: what an issued certificate names stays true to its end.
 */
export function slugOf(name: string, certificate: Certificate): string {
  const keyId = certificate.subjectKeyId ?? keyIdOf(certificate.spki);
  return `${configNameOf(name)}-${toHex(keyId).slice(0, 8)}`;
}

/** Which of an issuer's lists: all of its certificates, or one part of so many. */
export type ListPart = { readonly count: number; readonly shard: number } | undefined;

/** Paths below `publish.url`; the only place that spells them. */
export const publishedPath = {
  crl: (slug: string, part?: ListPart): string =>
    part === undefined
      ? `/crl/${slug}.crl`
      : `/crl/${slug}/${part.count}/${shardDigits(part.shard)}.crl`,
  delta: (slug: string, part?: ListPart): string =>
    part === undefined
      ? `/crl/${slug}-delta.crl`
      : `/crl/${slug}/${part.count}/${shardDigits(part.shard)}-delta.crl`,
  certificate: (slug: string): string => `/ca/${slug}.cer`,
  ocsp: '/ocsp',
} as const;

/** A list of another number of parts than there are now: a certificate that was issued before names it. */
export function earlierPartOf(path: string): { readonly slug: string } | undefined {
  const slug = /^\/crl\/([A-Za-z0-9_-]{1,60})\/[1-9]\d{0,2}\/\d{3}\.crl$/.exec(path)?.[1];
  return slug === undefined ? undefined : { slug };
}

/** Always as many, so that a certificate has the same length whatever its shard. */
export function shardDigits(shard: number): string {
  return String(shard).padStart(3, '0');
}

/** Which of `count` lists a certificate is on, for good: its serial number ends in random octets. */
export function shardOf(serial: Uint8Array, count: number): number {
  const { buffer, byteOffset, byteLength } = serial;
  if (byteLength < 4) return 0;
  return new DataView(buffer, byteOffset, byteLength).getUint32(byteLength - 4) % count;
}
