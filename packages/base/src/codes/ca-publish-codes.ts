import type { CodeFamily } from '../code-row.ts';

export const caPublishCodes = {
  ERR_PUBLISH_ISSUER: {
    meaning: 'There is no issuer, or no list, of that name here.',
    hint: 'give root, or the name of an intermediate in ca.yaml',
    exit: 2,
  },
  ERR_PUBLISH_ROOT_KEY: {
    meaning: 'A revocation list has to be signed with a key that is not here.',
    hint: 'sign it where the key is kept',
    exit: 1,
  },
  ERR_PUBLISH_IMPORT: {
    meaning:
      'A list that was signed elsewhere is not taken over: it is of another issuer, over, of a part, or not newer than the one at hand.',
    hint: 'sign the next list with the offline root (`countersign sign --crl`), and carry that one here',
    exit: 1,
  },
  ERR_PUBLISH_LOADING: {
    meaning: 'The authority has just started and still reads what is revoked from its ledger.',
    hint: 'ask again in a few seconds; if it stays so, look for the ledger in the log',
    exit: 3,
  },
  ERR_PUBLISH_OFF: {
    meaning: 'The authority publishes no revocation lists.',
    hint: 'add publish to ca.yaml, or ask with --data where the state is',
    exit: 1,
  },
} as const satisfies CodeFamily;
