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
} as const satisfies CodeFamily;
