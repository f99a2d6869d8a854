import type { CodeFamily } from '../code-row.ts';

/** Being the subordinate of another authority. */
export const caSuperiorCodes = {
  ERR_SUPERIOR_ANSWER: {
    meaning: 'Another authority was to certify the root of this one, and certified something else.',
    hint: 'compare both sides in the message; its role, mount or template decides what it signs',
    exit: 1,
  },
  ERR_SUPERIOR_ROOT: {
    meaning:
      'No root is known for the authority that certifies this one, or its answer does not lead there.',
    hint: 'name the file of its root under `issued_by.roots` of ca.yaml',
    exit: 1,
  },
  ERR_SUPERIOR_OFFLINE: {
    meaning:
      'The key of the root is not here, so that nobody can ask another authority to certify it.',
    hint: 'take `issued_by` out of ca.yaml, or have the key in this data directory or in a token',
    exit: 2,
  },
  ERR_SUPERIOR_STOPPED: {
    meaning: 'An order at another authority was given up, since this one was stopped.',
    hint: 'it is made again at the next start',
    exit: 3,
  },
} as const satisfies CodeFamily;
