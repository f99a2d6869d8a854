import type { CodeFamily } from '../code-row.ts';

export const caCodes = {
  ERR_LEDGER_LOCKED: {
    meaning: 'Another process has the ledger open: a ledger has one writer.',
    hint: 'let the running authority do it (its admin socket is used when it serves), or stop it first',
    exit: 3,
  },
  ERR_LEDGER_FAILED: {
    meaning: 'The ledger cannot commit any more, so nothing is issued or revoked until a restart.',
    hint: 'look for the cause in the log (disk full, file removed), mend it, then restart the authority',
    exit: 3,
  },
  ERR_LEDGER_CLOSED: {
    meaning: 'The ledger was asked for something after it was closed.',
    hint: 'start the authority again',
    exit: 3,
  },
  ERR_LEDGER_VERSION: {
    meaning:
      'The ledger file was written by a newer version of countersign, or by another program.',
    hint: 'use the version that wrote it, or give another data directory',
    exit: 2,
  },
  ERR_LEDGER_STATE: {
    meaning: 'A record does not follow from those before it; nothing was written.',
    hint: 'report it with the lines around it in the log',
    exit: 3,
  },
  ERR_LEDGER_ORDER: {
    meaning: 'A revocation names something that cannot be revoked that way.',
    hint: 'give a serial in hex, a SPIFFE ID, or the SHA-256 of a public key',
    exit: 2,
  },
  ERR_LEDGER_CERTIFICATE_UNKNOWN: {
    meaning: 'The certificate is not in the ledger of this authority.',
    hint: 'check the serial with countersign inspect, and that this is the authority that issued it',
    exit: 1,
  },
  ERR_LEDGER_BLOCKED: {
    meaning:
      'The name, key or provisioner was revoked with a block: nothing is issued for it any more.',
    hint: 'use another name or a new key',
    exit: 1,
  },
  ERR_LEDGER_REVOKED: {
    meaning: 'The certificate presented for renewal has been revoked.',
    hint: 'enrol again with a new token from countersign token create',
    exit: 1,
  },
  ERR_LEDGER_NEEDS_TOKEN: {
    meaning: 'The name or key was revoked after the presented certificate was ordered.',
    hint: 'enrol again with a new token from countersign token create',
    exit: 1,
  },
  ERR_LEDGER_LEASE: {
    meaning:
      'A lease of the revocation feed was asked for under an instance or position it cannot have.',
    hint: 'give every gateway its own instance name, and follow the feed from the start again',
    exit: 1,
  },
  ERR_TOKEN_UNKNOWN: {
    meaning: 'The join token does not exist, or its secret is wrong.',
    hint: 'copy the whole token, or make a new one with countersign token create',
    exit: 1,
  },
  ERR_TOKEN_SPENT: {
    meaning: 'The join token was used already: it is good for one enrolment.',
    hint: 'make a new one with countersign token create',
    exit: 1,
  },
  ERR_TOKEN_EXPIRED: {
    meaning: 'The join token is past its end.',
    hint: 'make a new one with countersign token create',
    exit: 1,
  },
  ERR_TOKEN_VOID: {
    meaning: 'The join token was created before its identity, key or provisioner was revoked.',
    hint: 'make a new one with countersign token create',
    exit: 1,
  },
} as const satisfies CodeFamily;
