import type { CodeFamily } from '../code-row.ts';

/** Refusals of tokens that people and machines already hold (`provisioners` of ca.yaml). */
export const caProvisionerCodes = {
  ERR_PROVISIONER_UNKNOWN: {
    meaning: 'Nobody in ca.yaml takes tokens of that issuer.',
    hint: 'compare the token\'s "iss" with the issuers under "provisioners"; of a jwk or x5c one it is the name',
    exit: 1,
  },
  ERR_PROVISIONER_TOKEN: {
    meaning:
      'A token or document of another issuer does not verify: its key, its time, or whom it is for.',
    hint: 'the log line says which check failed; let the issuer make a new one for one of the "audiences"',
    exit: 1,
  },
  ERR_PROVISIONER_DOCUMENT: {
    meaning: 'What is shown as an identity document of AWS or Azure is none.',
    hint: 'show "aws:" and the base64 of ".../instance-identity/rsa2048", or "azure:" and the "signature" of ".../attested/document"',
    exit: 1,
  },
  ERR_PROVISIONER_CLAIMS: {
    meaning: 'A token that verifies has not what its provisioner asks for, or gives no name.',
    hint: 'compare its claims with "claims", "spiffe_id" and "dns" of the provisioner',
    exit: 1,
  },
  ERR_PROVISIONER_USED: {
    meaning: 'A one-time token was used before, or a virtual machine came before.',
    hint: 'make another token for each certificate; of a machine see "reusable" of its provisioner',
    exit: 1,
  },
  ERR_PROVISIONER_RATE: {
    meaning: 'A provisioner orders more certificates an hour than it may.',
    hint: 'wait, or raise its "requests_per_hour"',
    exit: 1,
  },
  ERR_STEP_PATH: {
    meaning: "Something is asked for at one of step-ca's paths that is not there.",
    hint: 'see docs/step.md for what is answered; keys of provisioners are given by --key',
    exit: 1,
  },
  ERR_STEP_REQUEST: {
    meaning: "A request at one of step-ca's paths is malformed.",
    hint: 'the message says what; it is written by the client',
    exit: 1,
  },
  ERR_STEP_UNSUPPORTED: {
    meaning: "A request at one of step-ca's paths asks for what ca.yaml decides here.",
    hint: 'leave it out of the request: profiles and the provisioner say what a certificate has',
    exit: 1,
  },
  ERR_PROVISIONER_FILE: {
    meaning: 'A file of keys or certificates that a provisioner names cannot be read.',
    hint: 'see the file that the message names',
    exit: 2,
  },
} as const satisfies CodeFamily;
