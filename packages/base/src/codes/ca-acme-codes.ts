import type { CodeFamily } from '../code-row.ts';

const client =
  'the client learns the same from the problem document; its account and order are in the log line';

/** Refusals of the ACME edge, one an error type of RFC 8555 §6.7. */
export const caAcmeCodes = {
  ERR_ACME_ATTESTATION: {
    meaning: 'What an ACME client sends as the attestation of its device is not believed.',
    hint: 'the log line has the reason; acme.device_attestation.roots must vouch for the attestation key',
    exit: 1,
  },
  ERR_ACME_ACCOUNT_UNKNOWN: {
    meaning: 'An ACME request names an account that is not here, or a key that has none.',
    hint: 'let the client register again; an account belongs to the directory that made it',
    exit: 1,
  },
  ERR_ACME_REPLACED: {
    meaning: 'An ACME order replaces a certificate that another order replaces already.',
    hint: 'order without "replaces", or wait for the other order to end',
    exit: 1,
  },
  ERR_ACME_REVOKED: {
    meaning: 'An ACME client revokes a certificate that is revoked already.',
    hint: 'nothing is to be done',
    exit: 1,
  },
  ERR_ACME_CSR: {
    meaning: 'The request of an ACME order is not one that can be signed for it.',
    hint: 'the log line says what the policy refused; the names must be exactly those of the order',
    exit: 1,
  },
  ERR_ACME_NONCE: {
    meaning: 'The nonce of an ACME request is unknown, too old, or used.',
    hint: 'clients try again with the nonce of the answer; a client that does not is broken',
    exit: 1,
  },
  ERR_ACME_KEY: {
    meaning: 'The key of an ACME account is of no kind that is taken, or too weak.',
    hint: 'use a key on P-256, P-384, P-521, Ed25519, or RSA of 2048 to 4096 bits',
    exit: 1,
  },
  ERR_ACME_REASON: {
    meaning: 'An ACME client revokes with a reason that is not its to give.',
    hint: 'use unspecified (0), keyCompromise (1), superseded (4) or cessationOfOperation (5)',
    exit: 1,
  },
  ERR_ACME_ALGORITHM: {
    meaning: 'An ACME request is signed with an algorithm that is not taken.',
    hint: 'use ES256, ES384, ES512, RS256 or EdDSA, as the key has it',
    exit: 1,
  },
  ERR_ACME_CONNECTION: {
    meaning: 'The host that an ACME client wants a certificate for could not be reached.',
    hint: 'see that the authority can reach the host on the port of the challenge (acme.http_port, acme.tls_alpn_port)',
    exit: 1,
  },
  ERR_ACME_DNS: {
    meaning:
      'A name that an ACME client wants a certificate for could not be resolved, or leads where nothing may connect.',
    hint: 'see acme.resolvers, and acme.allow for networks that are not public',
    exit: 1,
  },
  ERR_ACME_EXTERNAL_ACCOUNT: {
    meaning: 'An ACME account is registered without the external account that is required here.',
    hint: 'give the client the key identifier and the HMAC key of an entry of acme.external_accounts',
    exit: 1,
  },
  ERR_ACME_RESPONSE: {
    meaning: 'What an ACME client put in place is not what its challenge asks for.',
    hint: 'the problem names both sides; see that it was put in place by the account that ordered',
    exit: 1,
  },
  ERR_ACME_CONTACT: {
    meaning: 'A contact of an ACME account is not one "mailto:" address.',
    hint: client,
    exit: 1,
  },
  ERR_ACME_PROFILE: {
    meaning: 'An ACME order asks for a profile that is not offered.',
    hint: 'the directory lists the profiles; acme.profiles of ca.yaml makes them',
    exit: 1,
  },
  ERR_ACME_MALFORMED: {
    meaning: 'An ACME request has not the form that RFC 8555 gives it.',
    hint: client,
    exit: 1,
  },
  ERR_ACME_NOT_READY: {
    meaning: 'An ACME order is finalised before all its names are proved, or again.',
    hint: client,
    exit: 1,
  },
  ERR_ACME_RATE: {
    meaning: 'An ACME client makes accounts or orders faster than is allowed.',
    hint: 'it may come again after the seconds of Retry-After; acme.limits sets the rates',
    exit: 1,
  },
  ERR_ACME_IDENTIFIER: {
    meaning: 'The policy does not sign a name that an ACME client orders.',
    hint: 'the log line has the rule that refused; "countersign policy test" tries it without a client',
    exit: 1,
  },
  ERR_ACME_INTERNAL: {
    meaning: 'An ACME request could not be answered now.',
    hint: 'look for the same id in the log',
    exit: 3,
  },
  ERR_ACME_TLS: {
    meaning:
      'The host that an ACME client wants a certificate for made no TLS handshake for the challenge.',
    hint: 'see that it answers the protocol "acme-tls/1" on acme.tls_alpn_port',
    exit: 1,
  },
  ERR_ACME_UNAUTHORIZED: {
    meaning: 'An ACME request is about what another account owns, or a challenge is not met.',
    hint: client,
    exit: 1,
  },
  ERR_ACME_IDENTIFIER_KIND: {
    meaning: 'An ACME order names an identifier of a kind that is not signed here.',
    hint: 'DNS names and IP addresses can be ordered; a SPIFFE ID comes with a profile',
    exit: 1,
  },
  ERR_ACME_TERMS: {
    meaning: 'An ACME account is registered without agreeing to the terms of service.',
    hint: 'let the client agree, or take acme.terms_of_service out of ca.yaml',
    exit: 1,
  },
} as const satisfies CodeFamily;
