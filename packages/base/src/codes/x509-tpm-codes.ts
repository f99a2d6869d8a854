import type { CodeFamily } from '../code-row.ts';

/** Structures that a TPM marshals; part of the x509 family. */
export const x509TpmCodes = {
  ERR_TPM_FORM: {
    meaning: 'A structure that is to come from a TPM is malformed.',
    hint: 'the message names the structure and the field: have whoever made it mended',
    exit: 1,
  },
  ERR_TPM_COMMAND: {
    meaning: 'A TPM refuses a command.',
    hint: "the message has the TPM's own code; look at the handle, its authorisation, and who else uses the TPM",
    exit: 3,
  },
  ERR_TPM_UNSUPPORTED: {
    meaning: 'A TPM uses an algorithm or a kind of key or statement that is not understood.',
    hint: 'use RSA or a NIST curve, SHA-256 or longer, and AES in CFB mode; SHA-1 is not believed',
    exit: 1,
  },
} as const satisfies CodeFamily;
