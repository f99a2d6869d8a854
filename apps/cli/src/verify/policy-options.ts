import type { PolicyInputs } from '@countersign/x509';
import { Option } from 'commander';
import { listOption } from '../list-option.ts';
import { isOid } from './verify-request.ts';

/** The options of a command line that asks for certificate policies. */
export interface PolicyOptions {
  readonly policy?: string[];
  readonly explicitPolicy?: true;
  readonly inhibitPolicyMapping?: true;
  readonly inhibitAnyPolicy?: true;
}

export const policyOptions: readonly Option[] = [
  listOption('--policy <oid>', 'certificate policy of which the chain must be valid for one'),
  new Option('--explicit-policy', 'the chain must be valid for a policy, whichever it is'),
  new Option('--inhibit-policy-mapping', 'policies that a CA maps to others count for nothing'),
  new Option('--inhibit-any-policy', 'anyPolicy in a certificate counts for nothing'),
];

/** Undefined where nothing is asked. A `--policy` by itself requires one of them. */
export function policyInputsOf(
  options: PolicyOptions,
  refuse: (reason: string) => Error,
): PolicyInputs | undefined {
  const { policy, explicitPolicy, inhibitPolicyMapping, inhibitAnyPolicy } = options;
  const wrong = policy?.find((oid) => !isOid(oid));
  if (wrong !== undefined) throw refuse(`--policy "${wrong}" is no dotted OID`);
  const flags = [explicitPolicy, inhibitPolicyMapping, inhibitAnyPolicy];
  if (policy === undefined && !flags.includes(true)) return undefined;
  return {
    ...(policy !== undefined && { initialPolicySet: policy }),
    requireExplicitPolicy: explicitPolicy === true || policy !== undefined,
    inhibitPolicyMapping: inhibitPolicyMapping === true,
    inhibitAnyPolicy: inhibitAnyPolicy === true,
  };
}
