import type { CodeFamily } from '../code-row.ts';

export const logCodes = {
  ERR_LOG_CHECKPOINT: {
    meaning:
      'A checkpoint is malformed, of another log, or not signed by the key that the log is known by.',
    hint: 'check that the key is that of this log (countersign log show); if it is, keep the checkpoint as evidence',
    exit: 1,
  },
  ERR_LOG_KEY: {
    meaning: 'The key of a log is not written as one.',
    hint: 'copy the whole line that `countersign log show` prints, NAME+ID+BASE64',
    exit: 2,
  },
  ERR_LOG_FORM: {
    meaning: 'A tile, an entry bundle or a proof is not of its form.',
    hint: 'fetch it again; if it is the same, the log or what is before it is broken',
    exit: 1,
  },
  ERR_LOG_PROOF: {
    meaning: 'A proof does not lead to the root hash of its checkpoint.',
    hint: 'check that certificate, proof and checkpoint belong together; if they do, the certificate is not in the log',
    exit: 1,
  },
  ERR_LOG_INCONSISTENT: {
    meaning: 'The log signed two histories: a checkpoint does not continue an earlier one.',
    hint: 'keep both checkpoints, they prove it; trust nothing that the authority issued until it is explained',
    exit: 1,
  },
  ERR_LOG_TAMPERED: {
    meaning: 'A tile or an entry of the log is not what its checkpoint commits to.',
    hint: 'restart the authority: it makes the log anew from its ledger and tells if that leads to the same root',
    exit: 1,
  },
  ERR_LOG_MISSING: {
    meaning: 'There is no log here, or a file of it is gone.',
    hint: 'give the data directory of an authority, or the address of one that serves',
    exit: 3,
  },
  ERR_LOG_ENTRY_UNKNOWN: {
    meaning: 'The certificate is not in the log.',
    hint: 'check the serial with countersign inspect, and that this is the log of its authority',
    exit: 1,
  },
  ERR_LOG_UNKNOWN_ISSUE: {
    meaning:
      'A certificate was issued under a watched name, to a key that its owner does not know.',
    hint: 'find out who asked for it (its serial is in the ledger); if nobody should have, revoke the name with a block',
    exit: 1,
  },
  ERR_LOG_PENDING: {
    meaning: 'The certificate is issued, and no checkpoint commits to it yet.',
    hint: 'ask again in a second; if it stays so, look for the issuance log in the log of the authority',
    exit: 3,
  },
  ERR_LOG_STOPPED: {
    meaning:
      'The issuance log is stopped: its ledger or its files contradict a checkpoint that it had signed.',
    hint: 'restore the newest ledger; only if it is lost, remove log.key.json and the folder log to begin a new log',
    exit: 3,
  },
} as const satisfies CodeFamily;
