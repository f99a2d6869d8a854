import type { CodeFamily } from '../code-row.ts';

/** What hardware states about keys that it holds. */
export const caAttestationCodes = {
  ERR_ATTEST_FORM: {
    meaning: 'An attestation is malformed: its CBOR, or a member that it must have.',
    hint: 'the message says where; have the client that made it mended',
    exit: 1,
  },
  ERR_ATTEST_FORMAT: {
    meaning: 'An attestation is of a format that is not taken.',
    hint: 'use format "tpm"; "step", "apple", "android-key" and others are not understood',
    exit: 1,
  },
  ERR_ATTEST_KEY_CERTIFICATE: {
    meaning: 'The certificate of an attestation key is not one for attestation keys of TPMs.',
    hint: 'it needs extended key usage 2.23.133.8.3 and the manufacturer, model and version of the TPM among its names',
    exit: 1,
  },
  ERR_ATTEST_SIGNATURE: {
    meaning: 'A statement is not signed by the attestation key that comes with it.',
    hint: 'send the certificate of the very key that signed',
    exit: 1,
  },
  ERR_ATTEST_BINDING: {
    meaning:
      'A statement is about another challenge, another key, or something else than was asked for.',
    hint: 'have the TPM certify the key anew, with the digest of what is asked for now',
    exit: 1,
  },
  ERR_ATTEST_KEY: {
    meaning: 'An attested key is not bound to the TPM that holds it.',
    hint: 'make it in the TPM, with fixedTPM, fixedParent, sensitiveDataOrigin and sign',
    exit: 1,
  },
  ERR_ATTEST_DEVICE: {
    meaning:
      'The names of a device that an attestation vouches for are not those that are asked for.',
    hint: 'ask for a name that the certificate of the attestation key carries',
    exit: 1,
  },
} as const satisfies CodeFamily;
