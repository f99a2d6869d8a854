import type { CodeFamily } from '../code-row.ts';

export const authzCodes = {
  ERR_AUTHZ_DENIED: {
    meaning: 'A DENY policy matches the peer and its request.',
    hint: 'the message names the policy and rule; change it if the peer is to be let in',
    exit: 1,
  },
  ERR_AUTHZ_NO_RULE: {
    meaning: 'There are ALLOW policies, and no rule of them matches the peer and its request.',
    hint: 'the message names the closest rule and what differs; add a rule, or change the request',
    exit: 1,
  },
  ERR_AUTHZ_PROVIDER: {
    meaning:
      'A CUSTOM policy asks an external authorizer about the request, and there is no answer of it.',
    hint: 'the message names the provider; see that it is configured and can be reached',
    exit: 1,
  },
  ERR_AUTHZ_WORKLOAD: {
    meaning:
      'A policy selects workloads by labels or targets, and it is not known which workload this is.',
    hint: 'say which namespace and labels this workload has, or take the selector out of the policy',
    exit: 2,
  },
  ERR_AUTHZ_PATH: {
    meaning: 'The path of a request cannot be normalised, and so is not judged.',
    hint: 'send a path that begins with "/" and has neither a fragment nor an encoded zero byte',
    exit: 1,
  },
  ERR_AUTHZ_TWICE: {
    meaning: 'Two authorization policies have the same namespace and name.',
    hint: 'rename one of them',
    exit: 2,
  },
  ERR_REVOCATION_UNKNOWN: {
    meaning:
      'Nobody knows whether the peer is revoked: the revocation feed was not heard yet, is silent for too long, or has not named its root.',
    hint: 'see why the gateway cannot reach the authority; it refuses until it can, and hears of a new root when it connects again',
    exit: 3,
  },
} as const satisfies CodeFamily;
