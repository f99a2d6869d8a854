import type { CodeFamily } from '../code-row.ts';

export const baseCodes = {
  ERR_USAGE: {
    meaning:
      'The command line is wrong: an option is missing, unknown or has a value it cannot have.',
    hint: 'run the command with --help',
    exit: 2,
  },
  ERR_DURATION: {
    meaning: 'A duration is not written as Go and Vault write them.',
    hint: 'write numbers with units, such as 90s, 15m, 24h or 87600h',
    exit: 2,
  },
  ERR_FILE: {
    meaning: 'A file or directory could not be read or written.',
    hint: 'check that the path exists and who may read and write it',
    exit: 2,
  },
  ERR_DESTINATION: {
    meaning:
      'The place that a result is to be written to takes none; nothing was issued, spent or made yet.',
    hint: 'make room, choose another path, or check who may write there; then run the same command again',
    exit: 2,
  },
  ERR_TIMEOUT: {
    meaning: 'Something did not answer within the time it was given.',
    hint: 'check that the other side runs and can be reached, then try again',
    exit: 3,
  },
  ERR_INTERNAL: {
    meaning: 'A defect in countersign itself: an assumption of the program did not hold.',
    hint: 'report it with the lines around it in the log',
    exit: 3,
  },
} as const satisfies CodeFamily;
