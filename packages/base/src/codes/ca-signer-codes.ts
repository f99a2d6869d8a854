import type { CodeFamily } from '../code-row.ts';

/** Where keys of the authority live: files, tokens, key management services. */
export const caSignerCodes = {
  ERR_SIGNER_SECRET: {
    meaning: 'The PIN or passphrase that the configuration points at could not be read.',
    hint: 'check that the file or environment variable exists where the authority runs and holds the secret alone',
    exit: 2,
  },
  ERR_SIGNER_KEY_KIND: {
    meaning: 'The place that ca.yaml chose for a key cannot make or use keys of that kind.',
    hint: 'choose another algorithm or another storage for that certificate in ca.yaml',
    exit: 2,
  },
  ERR_SIGNER_URI: {
    meaning: 'A PKCS #11 URI (RFC 7512) is malformed, or has what is not understood.',
    hint: 'write it as pkcs11:token=LABEL;object=NAME?module-path=/path/module.so&pin-source=file:/path',
    exit: 2,
  },
  ERR_SIGNER_KEY: {
    meaning:
      'The key that the data directory refers to is gone, is another one, or is not kept as a key of an authority must be.',
    hint: 'check that the token or key ring is the one that init used; a lost key needs a new hierarchy',
    exit: 2,
  },
  ERR_SIGNER_MODULE: {
    meaning: 'The PKCS #11 module could not be loaded or used at all.',
    hint: 'check the path of hsm.module in ca.yaml, that it is built for this machine, and that "npm install koffi" was done',
    exit: 2,
  },
  ERR_SIGNER_TOKEN_MISSING: {
    meaning: 'No token with the configured label is present in the PKCS #11 module.',
    hint: 'check hsm.token_label in ca.yaml, and that the token is plugged in or initialised for this user',
    exit: 3,
  },
  ERR_SIGNER_TOKEN_PIN: {
    meaning:
      'The token refused the PIN, or is locked. The same PIN is not tried again, since tries are counted.',
    hint: 'put the right PIN where ca.yaml points; a locked token is opened by its security officer',
    exit: 2,
  },
  ERR_SIGNER_TOKEN_LOST: {
    meaning:
      'The token went away: removed, unreachable, or its sessions ended. Nothing was issued meanwhile.',
    hint: 'plug it in again or restore its connection: the authority logs in by itself when it is back',
    exit: 3,
  },
  ERR_SIGNER_TOKEN_TIMEOUT: {
    meaning: 'The token did not answer in time. What it was asked for was given up.',
    hint: 'look at the load and connection of the token; the authority goes on when it answers',
    exit: 3,
  },
  ERR_SIGNER_TOKEN_FAILED: {
    meaning: 'The token answered with an error of its own.',
    hint: 'look the CKR_ value of the message up in the manual of the token',
    exit: 3,
  },
  ERR_SIGNER_KMS_SDK: {
    meaning: 'The package through which a key management service is reached is not installed.',
    hint: 'install the package that the message names beside countersign, with npm install',
    exit: 2,
  },
  ERR_SIGNER_KMS_REFUSED: {
    meaning: 'The key management service refused the call: credentials, permissions or the key.',
    hint: 'check which identity the authority runs as and that it may create keys, read public keys and sign',
    exit: 3,
  },
  ERR_SIGNER_KMS_UNREACHABLE: {
    meaning: 'The key management service did not answer, or answered with a failure of its own.',
    hint: 'check the network, the endpoint and the region; the authority goes on when it answers',
    exit: 3,
  },
} as const satisfies CodeFamily;
