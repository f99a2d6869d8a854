import type { CodeFamily } from '../code-row.ts';

/** The refusals of path validation; part of the x509 family. */
export const x509PathCodes = {
  ERR_PATH_NO_ISSUER: {
    meaning:
      'Nothing among the trust anchors and the given intermediates could have issued a certificate.',
    hint: 'give the missing intermediate, or the trust anchor of this hierarchy',
    exit: 1,
  },
  ERR_PATH_UNTRUSTED: {
    meaning: 'The path ends in a self-signed certificate that is no trust anchor.',
    hint: 'if you trust it, add it to the bundle; compare its fingerprint first',
    exit: 1,
  },
  ERR_PATH_SIGNATURE: {
    meaning: "A certificate's signature does not verify with the key of the issuer that it names.",
    hint: 'the issuer has another key of the same name, or the certificate was altered: get both again from their source',
    exit: 1,
  },
  ERR_PATH_LENGTH: {
    meaning: 'More intermediate CAs follow a CA than its path length constraint allows.',
    hint: 'issue from a CA nearer to the root, or reissue the CA with a longer pathLenConstraint',
    exit: 1,
  },
  ERR_PATH_DEPTH: {
    meaning: 'The path has more intermediates than the caller allows.',
    hint: 'raise the maximum depth, or trust a CA nearer to the end-entity certificate',
    exit: 1,
  },
  ERR_PATH_POLICY: {
    meaning: 'A certificate policy is required, and the path is valid for none that is accepted.',
    hint: 'the end-entity certificate and every CA above it must assert one of the accepted policies, or anyPolicy',
    exit: 1,
  },
  ERR_PATH_BUDGET: {
    meaning: 'No valid path was found within the work that one validation may cost.',
    hint: 'give fewer intermediates, only those of this hierarchy; such inputs are often attacks',
    exit: 1,
  },
  ERR_CERT_EXPIRED: {
    meaning: 'The end of a validity period lies in the past.',
    hint: 'renew the certificate; if it should still be valid, compare the clocks of both machines',
    exit: 1,
  },
  ERR_CERT_NOT_YET_VALID: {
    meaning: 'The start of a validity period lies in the future.',
    hint: 'compare the clocks of both machines',
    exit: 1,
  },
  ERR_CERT_REVOKED: {
    meaning: 'The issuer has revoked the certificate.',
    hint: 'enrol again; if the revocation is a mistake, ask whoever runs the CA',
    exit: 1,
  },
  ERR_CERT_PROFILE_VERSION: {
    meaning: 'A certificate is not of X.509 version 3.',
    hint: 'reissue it as version 3, which carries the extensions that say what it is for',
    exit: 1,
  },
  ERR_CERT_SERIAL: {
    meaning: 'A serial number is zero, negative, or longer than 20 octets.',
    hint: 'reissue the certificate with a positive serial number of at most 20 octets',
    exit: 1,
  },
  ERR_CERT_NAME_EMPTY: {
    meaning: 'A certificate lacks a name that it must have.',
    hint: 'reissue it: CAs and issuers need a subject, and an end entity without one a critical subjectAltName',
    exit: 1,
  },
  ERR_CERT_NAME_AMBIGUOUS: {
    meaning:
      'A common name is an IP address in a spelling that different programs read differently.',
    hint: 'reissue it with the address in plain decimal, and put addresses into subjectAltName',
    exit: 1,
  },
  ERR_CERT_CRITICAL_UNKNOWN: {
    meaning: 'A certificate has a critical extension that is not known here.',
    hint: 'reissue it without that extension, or not as critical: what is critical must be understood or refused',
    exit: 1,
  },
  ERR_CERT_CRITICALITY: {
    meaning: 'An extension is critical and must not be, or is not and must be.',
    hint: 'reissue the certificate as RFC 5280 §4.2 says',
    exit: 1,
  },
  ERR_CERT_NOT_CA: {
    meaning: 'A certificate that issued another is no CA certificate.',
    hint: 'an issuer needs basicConstraints with cA true; an end-entity certificate cannot issue',
    exit: 1,
  },
  ERR_CERT_KEY_USAGE: {
    meaning:
      'The key usage of a certificate does not allow what it is used for, or contradicts its basic constraints.',
    hint: 'a CA needs keyCertSign (and cRLSign for revocation lists); an end entity must not have it',
    exit: 1,
  },
  ERR_CERT_KEY_ID: {
    meaning:
      'A key identifier that RFC 5280 requires is missing, or a self-signed certificate names another key.',
    hint: 'reissue it: CAs need a subjectKeyIdentifier, all but self-signed certificates an authorityKeyIdentifier',
    exit: 1,
  },
  ERR_CERT_PURPOSE: {
    meaning: 'The extended key usage of a certificate does not allow the purpose.',
    hint: 'a server needs serverAuth, a client (whoever renews is one) clientAuth, CAs that list any too: see the profile, enrol anew',
    exit: 1,
  },
  ERR_CERT_NAME_CONSTRAINTS: {
    meaning: 'Name constraints are malformed, empty, or in a certificate that is no CA.',
    hint: 'reissue the CA: a DNS constraint has no leading dot or wildcard, an IP constraint is an address and a mask',
    exit: 1,
  },
  ERR_CERT_POLICIES: {
    meaning: 'The policy extensions of a certificate contradict RFC 5280.',
    hint: 'reissue it: anyPolicy is never mapped, and policy constraints are never empty',
    exit: 1,
  },
  ERR_CERT_SIGNATURE_WEAK: {
    meaning:
      'A certificate is signed with an algorithm that is not accepted, such as SHA-1 or MD5.',
    hint: 'reissue it with SHA-256 or better, Ed25519 or ML-DSA',
    exit: 1,
  },
  ERR_NAME_MISMATCH: {
    meaning: 'The certificate does not have the name that was expected.',
    hint: 'the name must be in subjectAltName (a common name does not count): reissue it, or expect another name',
    exit: 1,
  },
  ERR_NAME_SYNTAX: {
    meaning: 'An expected name is not well-formed, so that nothing can match it.',
    hint: 'write dns names as letters, digits, hyphens and dots (xn-- for others), addresses without brackets',
    exit: 1,
  },
  ERR_NAME_NOT_PERMITTED: {
    meaning: 'A name lies outside what a CA above it is permitted to certify.',
    hint: 'issue it from a CA whose name constraints permit the name',
    exit: 1,
  },
  ERR_NAME_EXCLUDED: {
    meaning: 'A name lies within what a CA above it is forbidden to certify.',
    hint: 'issue it from a CA whose name constraints do not exclude the name',
    exit: 1,
  },
  ERR_NAME_UNCHECKABLE: {
    meaning:
      'A name is malformed or of a kind that cannot be compared, and a CA above it constrains names of its kind.',
    hint: 'reissue the certificate without that name, or mend the name',
    exit: 1,
  },
  ERR_CRL_MISSING: {
    meaning:
      'Revocation lists were given, and none that is usable tells whether a certificate of the path is revoked.',
    hint: 'give the lists of every issuer on the path, the trust anchor among them, and all parts of one that is divided',
    exit: 1,
  },
  ERR_CRL_SIGNATURE: {
    meaning:
      "A revocation list's signature does not verify with the key of the issuer that it names.",
    hint: 'get the list again from its CA',
    exit: 1,
  },
  ERR_CRL_ISSUER: {
    meaning: 'Whoever signed a revocation list may not sign it.',
    hint: 'its key usage needs cRLSign, and a key of its own needs a valid certificate under the same trust anchor',
    exit: 1,
  },
  ERR_CRL_STALE: {
    meaning: 'A revocation list is not fresh: its next one is due, or it is from the future.',
    hint: 'get the newest list from its CA; without one, nothing is known about revocation',
    exit: 1,
  },
  ERR_CRL_NUMBER: {
    meaning: 'A revocation list has no CRL number, or has it as a critical extension.',
    hint: 'issue the list again as RFC 5280 §5.2.3 says',
    exit: 1,
  },
  ERR_CRL_UNSUPPORTED: {
    meaning: 'A revocation list has a critical extension that is not supported.',
    hint: 'have the CA issue the list without it: what it says may change the meaning of every entry',
    exit: 1,
  },
} as const satisfies CodeFamily;
