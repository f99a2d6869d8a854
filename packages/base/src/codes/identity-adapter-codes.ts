import type { CodeFamily } from '../code-row.ts';

export const identityAdapterCodes = {
  ERR_IDENTITY_PATTERN: {
    meaning: 'A pattern of SPIFFE IDs cannot be read.',
    hint: 'write spiffe://DOMAIN/PATH, where a segment may be * and the last one **',
    exit: 2,
  },
  ERR_IDENTITY_ADAPTER: {
    meaning: 'A module that was handed to an adapter lacks what the adapter needs of it.',
    hint: 'hand in the module that docs/identity.md names, in a version that it names',
    exit: 2,
  },
  ERR_IDENTITY_TOKEN: {
    meaning: 'No token was to be had for the enrolment of a new instance.',
    hint: 'look at what was given as `token`: a join token, a JWT, or a function that gives one, such as githubToken(…)',
    exit: 3,
  },
} as const satisfies CodeFamily;
