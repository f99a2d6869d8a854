import type { CertificateWishes } from '@countersign/wire';

/** What is wished of a certificate, without what is not. */
export function wishesOf(options: CertificateWishes): CertificateWishes {
  const { ttlMs, profile, issuer } = options;
  return {
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(profile === undefined ? {} : { profile }),
    ...(issuer === undefined ? {} : { issuer }),
  };
}
