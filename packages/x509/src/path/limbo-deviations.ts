/**
 * The cases of C2SP/x509-limbo that are judged otherwise here, each with its reason; the tests fail
 * where this list is not exact. `accepts`: limbo expects a refusal; `refuses`: limbo expects
 * success.
 */
export interface LimboDeviation {
  readonly id: string;
  readonly here: 'accepts' | 'refuses';
  readonly reason: string;
}

const commonName =
  'the common name is never a name (RFC 9525 §2), so nothing depends on its agreeing with subjectAltName; ' +
  'workload certificates often have a common name for people beside a SPIFFE ID';
const publicWebEku =
  'a rule of the public web (CA/Browser Forum BR §7.1.2) about extended key usage that RFC 5280 §4.2.1.12 does not have';

export const limboDeviations: readonly LimboDeviation[] = [
  {
    id: 'rfc5280::aki::cross-signed-root-missing-aki',
    here: 'accepts',
    reason:
      'nobody looks for the issuer of a trust anchor, so it needs no authority key identifier; ' +
      'cve::cve-2024-0567 wants exactly this accepted',
  },
  { id: 'webpki::cn::ipv4-hex-mismatch', here: 'accepts', reason: commonName },
  { id: 'webpki::cn::ipv6-uppercase-mismatch', here: 'accepts', reason: commonName },
  { id: 'webpki::cn::ipv6-uncompressed-mismatch', here: 'accepts', reason: commonName },
  { id: 'webpki::cn::ipv6-non-rfc5952-mismatch', here: 'accepts', reason: commonName },
  { id: 'webpki::cn::punycode-not-in-san', here: 'accepts', reason: commonName },
  { id: 'webpki::cn::utf8-vs-punycode-mismatch', here: 'accepts', reason: commonName },
  { id: 'webpki::cn::not-in-san', here: 'accepts', reason: commonName },
  { id: 'webpki::cn::case-mismatch', here: 'accepts', reason: commonName },
  { id: 'webpki::eku::ee-anyeku', here: 'accepts', reason: publicWebEku },
  { id: 'webpki::eku::ee-critical-eku', here: 'accepts', reason: publicWebEku },
  {
    id: 'webpki::eku::ee-without-eku',
    here: 'accepts',
    reason: `${publicWebEku}; rfc5280::eku::ee-without-eku wants the same certificate accepted`,
  },
  { id: 'webpki::eku::root-has-eku', here: 'accepts', reason: publicWebEku },
  {
    id: 'webpki::nc::permitted-dns-match-noncritical',
    here: 'refuses',
    reason:
      'RFC 5280 §4.2.1.10 requires name constraints to be critical, lest software that does not know them ignore them; ' +
      'rfc5280::nc::permitted-dns-match-noncritical wants the same certificate refused',
  },
  {
    id: 'webpki::san::public-suffix-private-namespace-wildcard-san',
    here: 'accepts',
    reason:
      'refusing this takes the Public Suffix List, which changes weekly and is no data of this library; ' +
      'the owner of s3.amazonaws.com does serve such a certificate (online::s3.amazonaws.com)',
  },
  {
    id: 'webpki::san::san-critical-with-nonempty-subject',
    here: 'accepts',
    reason:
      'RFC 5280 §4.2.1.6 says SHOULD, and a subjectAltName is understood whether or not it is critical',
  },
  {
    id: 'webpki::ca-as-leaf',
    here: 'accepts',
    reason:
      'RFC 5280 lets a path end in a CA certificate, and rfc5280::ca-as-leaf wants the same certificate accepted; ' +
      'the SVID profile refuses it',
  },
];
