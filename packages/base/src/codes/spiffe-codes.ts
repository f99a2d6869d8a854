import type { CodeFamily } from '../code-row.ts';

export const spiffeCodes = {
  ERR_SPIFFE_ID: {
    meaning: 'A text is not a SPIFFE ID by the SPIFFE standard.',
    hint: 'write spiffe://TRUST-DOMAIN/PATH, such as spiffe://example.com/ns/prod/sa/web',
    exit: 2,
  },
  ERR_SPIFFE_TRUST_DOMAIN: {
    meaning: 'A text is not the name of a SPIFFE trust domain.',
    hint: 'use 1 to 255 lowercase letters, digits, dots, dashes and underscores',
    exit: 2,
  },
  ERR_SVID_NONE: {
    meaning: 'There is no X.509-SVID to present: none was issued or loaded yet.',
    hint: 'enrol first: countersign enrol --ca URL --fingerprint SHA256 --token TOKEN --out DIR',
    exit: 3,
  },
  ERR_SVID_EMPTY: {
    meaning: 'An X.509-SVID was to be read from input that holds no certificate.',
    hint: 'give the chain with the leaf certificate first, as PEM or concatenated DER',
    exit: 1,
  },
  ERR_SVID_URI: {
    meaning: 'A leaf certificate does not carry exactly one URI name, so it has no SPIFFE ID.',
    hint: 'ask for a certificate whose only URI name is its SPIFFE ID',
    exit: 1,
  },
  ERR_SVID_ID: {
    meaning: 'The URI name of a certificate is not the SPIFFE ID that its role calls for.',
    hint: 'a leaf needs a SPIFFE ID with a path, a signing certificate one without',
    exit: 1,
  },
  ERR_SVID_CA: {
    meaning: 'A leaf certificate is marked as a CA; an X.509-SVID that authenticates must not be.',
    hint: 'put the leaf first in the chain, and issue it without the CA flag',
    exit: 1,
  },
  ERR_SVID_KEY_USAGE: {
    meaning:
      'The key usage of a leaf certificate is not that of an X.509-SVID: digitalSignature set, keyCertSign and cRLSign not.',
    hint: 'issue the leaf with keyUsage digitalSignature alone',
    exit: 1,
  },
  ERR_SVID_SIGNER: {
    meaning:
      'A signing certificate of the chain does not follow the X.509-SVID rules: CA flag and keyCertSign set.',
    hint: 'issue from an intermediate with the CA flag and keyCertSign',
    exit: 1,
  },
  ERR_SVID_KEY: {
    meaning: 'A private key could not be used, or is not the one that the certificate is for.',
    hint: 'give the private key that the certificate was requested with',
    exit: 1,
  },
  ERR_BUNDLE_SYNTAX: {
    meaning: 'A trust bundle is not a SPIFFE bundle document, PEM or DER certificates.',
    hint: 'fetch the bundle again from its authority: GET /v1/bundle',
    exit: 1,
  },
  ERR_BUNDLE_KEY: {
    meaning: 'An entry of a SPIFFE bundle document breaks the rules for its use.',
    hint: 'the publisher of the bundle must mend the entry that the message names',
    exit: 1,
  },
  ERR_BUNDLE_LIMIT: {
    meaning: 'A trust bundle is larger than what is read from a stranger.',
    hint: 'publish only the authorities in use: at most 1 MiB and 256 keys',
    exit: 1,
  },
  ERR_BUNDLE_EMPTY: {
    meaning: 'A trust bundle has no X.509 authority, so nothing can be verified with it.',
    hint: 'give at least one CA certificate',
    exit: 1,
  },
  ERR_BUNDLE_DUPLICATE: {
    meaning: 'Two trust bundles were given for the same trust domain.',
    hint: 'give one bundle for each trust domain, with all its authorities',
    exit: 2,
  },
  ERR_PEER_NO_CERTIFICATE: {
    meaning: 'The peer presented no certificate where one is required.',
    hint: 'configure the peer with its certificate and key',
    exit: 1,
  },
  ERR_PEER_CHAIN: {
    meaning: 'The peer presented more certificates than are looked at.',
    hint: 'send the leaf and its intermediates only',
    exit: 1,
  },
  ERR_PEER_TRUST_DOMAIN: {
    meaning: 'The peer belongs to a trust domain for which there is no trust bundle.',
    hint: 'federate with that trust domain, or connect to a service of your own',
    exit: 1,
  },
  ERR_PEER_UNTRUSTED: {
    meaning: 'No chain leads from the peer certificate to an authority of its trust bundle.',
    hint: 'compare the issuers: countersign verify --bundle BUNDLE CHAIN',
    exit: 1,
  },
  ERR_PEER_EXPIRED: {
    meaning: 'The certificate of the peer, or one that vouches for it, has expired.',
    hint: 'renew it: countersign renew --ca URL --identity DIR; then see why its renewal stopped',
    exit: 1,
  },
  ERR_PEER_NOT_YET_VALID: {
    meaning: 'The certificate of the peer, or one that vouches for it, is not valid yet.',
    hint: 'compare the clocks of the issuer, the peer and this machine',
    exit: 1,
  },
  ERR_PEER_REVOKED: {
    meaning: 'The peer, its certificate or its key has been revoked.',
    hint: 'enrol it anew with a new token, if it is to be trusted again',
    exit: 1,
  },
} as const satisfies CodeFamily;
