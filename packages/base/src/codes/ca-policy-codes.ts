import type { CodeFamily } from '../code-row.ts';

export const caPolicyCodes = {
  ERR_POLICY_RULE: {
    meaning:
      'A rule of policy.rules in ca.yaml denies the name to this requester, or none allows it.',
    hint: 'ask for another name, or change the rule that the message names; countersign policy test tries it out',
    exit: 1,
  },
  ERR_POLICY_PROFILE: {
    meaning: 'The profile asked for does not exist, or is not for this request.',
    hint: 'leave the profile out, or name the request under "for" of the profile in ca.yaml',
    exit: 1,
  },
  ERR_POLICY_KEY_LIST: {
    meaning:
      'A file under "requests" in ca.yaml that lists keys cannot be read, or is not of its form.',
    hint: 'mend the file or the path in ca.yaml; each line is as the message says, comments begin with #',
    exit: 2,
  },
  ERR_CSR_KEY_BLOCKED: {
    meaning: 'The key of the request is on a list of keys that are not certified.',
    hint: 'make a new key and a new request; whoever put the key on the list knows why',
    exit: 1,
  },
  ERR_CSR_COMMON_NAME: {
    meaning:
      "The request's subject has a common name that requests.common_name in ca.yaml refuses.",
    hint: 'leave the subject out of the request: services are known by their alternative names',
    exit: 1,
  },
  ERR_CEREMONY_REQUEST: {
    meaning:
      'A request that was carried to an offline root, or a certificate carried back, is not what the other side expects.',
    hint: 'compare the ca.yaml of both sides and the SHA-256 in the records of the ceremony; nothing was signed',
    exit: 1,
  },
  ERR_CEREMONY_LIST: {
    meaning: 'An offline root is asked to revoke a certificate that it has not signed.',
    hint: 'look for the serial in `ceremony.jsonl` beside the root; nothing was signed',
    exit: 1,
  },
  ERR_CEREMONY_ROOT: {
    meaning: 'The directory of an offline root is missing, or its files do not fit together.',
    hint: 'give the directory that init --offline-root --root-out wrote, as a whole',
    exit: 2,
  },
  ERR_CEREMONY_PENDING: {
    meaning:
      'The data directory waits for certificates of an offline root, or has no request that waits.',
    hint: 'sign its requests with countersign sign, then run countersign init --data DIR --signed FILE for each',
    exit: 2,
  },
  ERR_CEREMONY_ONLINE: {
    meaning: 'Something was carried here for a key that signs here itself.',
    hint: 'run it without --import, which is for a root that is offline',
    exit: 1,
  },
} as const satisfies CodeFamily;
