import type { CodeFamily } from '../code-row.ts';

export const identityCodes = {
  ERR_IDENTITY_URL: {
    meaning: 'The address of an authority is not an https origin.',
    hint: 'write it as https://HOST:PORT, as `countersign ca serve` printed it',
    exit: 2,
  },
  ERR_IDENTITY_BEARER: {
    meaning: 'A JWT of another issuer is to enrol, with what does not go with it.',
    hint: 'give the fingerprint of the root (`countersign init` printed it), and neither profile nor issuer',
    exit: 2,
  },
  ERR_EVIDENCE_FILE: {
    meaning:
      'A file is to hold the token that shows who a machine is, and cannot be read or holds none.',
    hint: 'see that whoever keeps it fresh does so, at the path that the message names, for whom this runs as',
    exit: 3,
  },
  ERR_EVIDENCE_METADATA: {
    meaning: 'The metadata service of a cloud does not say who a machine is.',
    hint: 'see that this runs on a machine of that cloud, where its metadata service may be asked from here',
    exit: 3,
  },
  ERR_IDENTITY_PROOF_KEY: {
    meaning: 'A proof key is not one that can sign enrolments and renewals.',
    hint: 'give pkcs11:… (RFC 7512) or tpm:HANDLE of an ECDSA or RSA key; docs/keys.md shows how one is made',
    exit: 2,
  },
  ERR_TPM_DEVICE: {
    meaning: 'The TPM of this machine cannot be used, or does not answer.',
    hint: 'see that /dev/tpmrm0 is there and that this user may read and write it (group tss on most systems)',
    exit: 3,
  },
  ERR_IDENTITY_TLS_KEY: {
    meaning: 'The key that TLS uses is to be in hardware, which Node has no hook for.',
    hint: 'give --proof-key: the key in hardware signs enrolment and renewal, and so vouches for a short-lived one',
    exit: 2,
  },
  ERR_IDENTITY_PIN: {
    meaning:
      'The fingerprint that was given and the one in the join token name two different roots.',
    hint: 'find out which authority made the token; compare with what its `countersign init` printed',
    exit: 2,
  },
  ERR_IDENTITY_ROOT: {
    meaning:
      'The authority at that address does not have the pinned root. The token was not sent to it.',
    hint: 'check the address and the fingerprint; if both are right, something else answers there',
    exit: 1,
  },
  ERR_IDENTITY_AUTHORITY: {
    meaning:
      'Who answered has a trusted certificate, but not that of an authority at that address.',
    hint: 'check the address; it must be that of `countersign ca serve`, not of another service',
    exit: 1,
  },
  ERR_IDENTITY_RESPONSE: {
    meaning: 'The authority issued something else than was asked for; it was not put to use.',
    hint: 'ask the operator of the authority; the identity before it, if any, stays in use',
    exit: 1,
  },
  ERR_IDENTITY_EXPIRED: {
    meaning: 'An identity has expired, and the authority renews no expired certificate.',
    hint: 'enrol again with a new token: `countersign token create`, then `countersign enrol`',
    exit: 1,
  },
  ERR_IDENTITY_STOPPED: {
    meaning: 'A renewal was given up, since the rotation of the identity was stopped.',
    hint: 'the program ends, or has to start the rotation again',
    exit: 3,
  },
  ERR_IDENTITY_FILES: {
    meaning: 'The files of an identity could not be read or written, or do not belong together.',
    hint: 'check that the directory was written by `countersign enrol` or `issue`, and who may read it',
    exit: 2,
  },
  ERR_IDENTITY_WORKLOAD_API: {
    meaning: 'A SPIFFE Workload API was called for an identity, and gave none.',
    hint: 'check the socket and that the agent has an entry for this workload: `countersign entry list`; status 7 means that it has none',
    exit: 3,
  },
  ERR_IDENTITY_NOT_KEPT: {
    meaning:
      'A certificate was issued, and its files could not be written: its key is gone with the command.',
    hint: 'revoke it by the serial of the message, since nobody can use it; make room, and ask again',
    exit: 2,
  },
} as const satisfies CodeFamily;
