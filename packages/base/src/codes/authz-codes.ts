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
  ERR_AUTHZ_LETS_STRANGERS_IN: {
    meaning:
      'An ALLOW rule says only who may not, and so lets in everybody else, without a certificate too.',
    hint: 'say who may, beside who may not: `principals: ["*"]` is everybody with a certificate',
    exit: 1,
  },
  ERR_AUTHZ_MEANT_AS_DENY: {
    meaning: 'An ALLOW policy reads like one that denies, and allows what it seems to deny.',
    hint: 'write what must not be as a policy with action DENY, or say who may',
    exit: 1,
  },
  ERR_AUTHZ_MATCHES_NOBODY: {
    meaning: 'A policy selects, or names as a caller, a workload that is none of the known ones.',
    hint: 'correct the name or the labels, or add the workload to the list',
    exit: 1,
  },
  ERR_AUTHZ_NEVER_MATCHES: {
    meaning: 'A value of a rule can be that of no request, though Istio takes it.',
    hint: 'write it as requests have it; the message shows one that was meant',
    exit: 1,
  },
  ERR_AUTHZ_EVADED: {
    meaning: 'What a policy denies can be had by another spelling that it does not deny.',
    hint: 'deny the spelling as well, such as by a prefix, or say what is allowed instead',
    exit: 1,
  },
  ERR_AUTHZ_SHADOWED: {
    meaning: 'A rule changes nothing, since another one decides whatever it is about.',
    hint: 'take it out, or make the other one narrower',
    exit: 1,
  },
  ERR_AUTHZ_TCP_FIELD: {
    meaning:
      'A rule asks for what only HTTP has, and its port carries something else: ALLOW allows less there, DENY denies more.',
    hint: 'name the ports of HTTP in the rule, and write one without HTTP fields for the others',
    exit: 1,
  },
  ERR_AUTHZ_GOVERNS_NOTHING: {
    meaning:
      'A PeerAuthentication of the root namespace has a selector, and so is for no workload.',
    hint: "put it into the workload's own namespace, or take the selector out for the whole mesh",
    exit: 1,
  },
  ERR_REVOCATION_UNKNOWN: {
    meaning:
      'Nobody knows whether the peer is revoked: the revocation feed was not heard yet, is silent for too long, or has not named its root.',
    hint: 'see why the gateway cannot reach the authority; it refuses until it can, and hears of a new root when it connects again',
    exit: 3,
  },
} as const satisfies CodeFamily;
