/** RFC 5652, RFC 5958 §2, RFC 5753 §7, RFC 3394, RFC 4055: what our CMS is made of. */
export const cmsOids = {
  data: '1.2.840.113549.1.7.1',
  signedData: '1.2.840.113549.1.7.2',
  envelopedData: '1.2.840.113549.1.7.3',
  keyPackage: '2.16.840.1.101.2.1.2.78.5',
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  aes256Cbc: '2.16.840.1.101.3.4.1.42',
  aes256Wrap: '2.16.840.1.101.3.4.1.45',
  aes128Wrap: '2.16.840.1.101.3.4.1.5',
  rsaesOaep: '1.2.840.113549.1.1.7',
  /** dhSinglePass-stdDH-sha256kdf-scheme */
  ecdhSha256: '1.3.132.1.11.1',
} as const;
