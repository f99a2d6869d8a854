import type { CodeFamily } from '../code-row.ts';

/** OCSP requests and answers; part of the x509 family. */
export const x509OcspCodes = {
  ERR_OCSP_VERSION: {
    meaning: 'An OCSP request or answer is of a version other than 1.',
    hint: 'there is no other version: have its producer mended',
    exit: 1,
  },
  ERR_OCSP_EXTENSION: {
    meaning: 'An extension of an OCSP request or answer is malformed or occurs twice.',
    hint: 'the message names the extension; its producer must be mended',
    exit: 1,
  },
  ERR_OCSP_NONCE: {
    meaning: 'The nonce of an OCSP request or answer is malformed, or not of 1 to 128 octets.',
    hint: 'use a nonce of 32 octets, as RFC 9654 recommends',
    exit: 1,
  },
  ERR_OCSP_GET_PATH: {
    meaning: 'The path of an OCSP request by GET is not URL-encoded base64.',
    hint: 'RFC 6960 Appendix A.1 says how a request is put into a path; or send it by POST',
    exit: 1,
  },
  ERR_OCSP_RESPONSE_BYTES: {
    meaning: 'The status of an OCSP answer does not fit what it contains.',
    hint: 'a successful answer carries a response and any other none: have the responder mended',
    exit: 1,
  },
  ERR_OCSP_RESPONSE_TYPE: {
    meaning: 'An OCSP answer is of a type other than the basic one.',
    hint: 'ask a responder that gives basic responses, as RFC 6960 requires of every responder',
    exit: 1,
  },
  ERR_OCSP_RESPONSE_STATUS: {
    meaning: 'An OCSP responder gave no answer but an error status.',
    hint: 'tryLater and internalError pass; unauthorized means that the responder does not know the issuer',
    exit: 3,
  },
  ERR_OCSP_CRITICAL_UNKNOWN: {
    meaning: 'An OCSP answer has a critical extension that is not known here.',
    hint: 'the responder must leave it out, or not make it critical',
    exit: 1,
  },
  ERR_OCSP_CERT_ID: {
    meaning: 'An OCSP answer does not speak of the certificate in question under its issuer.',
    hint: 'compare issuer name, issuer key and serial number; another certificate may have been asked for',
    exit: 1,
  },
  ERR_OCSP_RESPONDER: {
    meaning:
      'An OCSP answer names a responder that is neither the issuer nor a certificate inside of it.',
    hint: 'the responder must sign as the issuer, or include its delegated certificate',
    exit: 1,
  },
  ERR_OCSP_DELEGATE: {
    meaning: 'The certificate of an OCSP responder does not let it answer for this issuer.',
    hint: 'it must be valid, issued by the very CA that it answers for, and have the purpose OCSPSigning',
    exit: 1,
  },
  ERR_OCSP_SIGNATURE: {
    meaning: "An OCSP answer's signature does not verify with the key of its responder.",
    hint: 'get the answer again; if it stays so, the responder has another key than its certificate',
    exit: 1,
  },
  ERR_OCSP_NONCE_MISMATCH: {
    meaning: 'An OCSP answer does not carry the nonce of the request.',
    hint: 'it may be an old answer replayed; a responder of pre-signed answers carries none: ask without nonce',
    exit: 1,
  },
  ERR_OCSP_STALE: {
    meaning: 'An OCSP answer is not fresh: its next one is due, or it is from the future.',
    hint: 'ask the responder again; compare the clocks of both machines',
    exit: 1,
  },
} as const satisfies CodeFamily;
