import type { Certificate } from '../certificate.ts';
import { oids } from '../oids.ts';
import { isSelfIssued } from './check-certificate.ts';
import type { PolicyInputs } from './path-request.ts';
import type { WorkBudget } from './work-budget.ts';

const { anyPolicy } = oids;

/**
 * Policy processing of RFC 5280 §6.1 with the graph of RFC 9618, which holds one node a policy and
 * certificate where the tree it replaces doubles at each. Undefined where the path is valid for
 * what is asked, else what is not.
 *
 * An anchor's own policies and constraints count as those of a first certificate (as RFC 5937
 * suggests); an anchor without a policies extension restricts nothing.
 *
 * @param chain leaf first, anchor last; a leaf that is itself the anchor alone
 */
export function checkPolicies(
  chain: readonly Certificate[],
  inputs: PolicyInputs,
  budget: WorkBudget,
): string | undefined {
  const { initialPolicySet: wanted, requireExplicitPolicy = false } = inputs;
  // where nobody requires a policy, no outcome of the graph refuses (RFC 5280 §6.1.5)
  const asked = requireExplicitPolicy || chain.some(({ policyConstraints: p }) => p !== undefined);
  if (!asked) return undefined;
  const path = [...chain].reverse();
  const [anchor] = path;
  const state = new PolicyState(path.length, inputs, budget);
  // an anchor that says nothing of policies is skipped, but for its constraints
  if (path.length > 1 && anchor !== undefined && anchor.certificatePolicies === undefined) {
    path.shift();
    state.constrain(anchor);
  }
  for (const [i, certificate] of path.entries()) {
    const last = i === path.length - 1;
    state.process(certificate, last);
    if (budget.exhausted !== undefined) return undefined;
    if (state.failed) return missing(certificate);
    if (last) state.finish(certificate);
    else state.prepareNext(certificate);
  }
  if (!state.explicitRequired || state.isValidFor(wanted)) return undefined;
  const accepted = wanted === undefined ? 'any' : listed(wanted, 'none');
  const valid = listed(state.validPolicies(), '');
  return `valid for ${valid === '' ? 'no policy' : `policies ${valid}`}, accepted are ${accepted}`;
}

function missing({ certificatePolicies = [] }: Certificate): string {
  const held = listed(
    certificatePolicies.map(({ oid }) => oid),
    '',
  );
  const has = held === '' ? 'no policies' : `policies ${held}`;
  return `an explicit policy is required, and the path has none left at a certificate with ${has}`;
}

function listed(policies: readonly string[], none: string): string {
  return policies.length === 0 ? none : policies.slice(0, 10).join(', ');
}

interface PolicyNode {
  readonly policy: string;
  readonly parents: readonly PolicyNode[];
  expected: readonly string[];
  /** How many nodes of the next level have this one as a parent. */
  children: number;
}

type Level = Map<string, PolicyNode>;

/** The state variables of RFC 5280 §6.1.2 with the graph by levels, the newest last. */
class PolicyState {
  readonly #budget: WorkBudget;
  #levels: Level[] = [new Map([[anyPolicy, node(anyPolicy, [], [anyPolicy])]])];
  #explicitPolicy: number;
  #policyMapping: number;
  #inhibitAny: number;

  // RFC 5280 §6.1.2 (d) to (f)
  constructor(length: number, inputs: PolicyInputs, budget: WorkBudget) {
    this.#explicitPolicy = inputs.requireExplicitPolicy === true ? 0 : length + 1;
    this.#policyMapping = inputs.inhibitPolicyMapping === true ? 0 : length + 1;
    this.#inhibitAny = inputs.inhibitAnyPolicy === true ? 0 : length + 1;
    this.#budget = budget;
  }

  get explicitRequired(): boolean {
    return this.#explicitPolicy === 0;
  }

  // RFC 5280 §6.1.3 (f)
  get failed(): boolean {
    return this.explicitRequired && this.#isNull;
  }

  get #isNull(): boolean {
    return this.#levels.length === 0;
  }

  // RFC 5280 §6.1.3 (d) and (e), as in RFC 9618 §5.3
  process(certificate: Certificate, last: boolean): void {
    const policies = certificate.certificatePolicies;
    if (policies === undefined) this.#levels = [];
    const previous = this.#levels.at(-1);
    if (policies === undefined || previous === undefined) return;
    const byExpected = this.#indexExpected(previous);
    const level: Level = new Map();
    for (const { oid } of policies) {
      if (oid === anyPolicy) continue;
      if (!this.#budget.spend('policySteps')) return;
      const any = previous.get(anyPolicy);
      const parents = byExpected.get(oid) ?? (any === undefined ? [] : [any]);
      this.#addNode(level, oid, parents);
    }
    const anyAllowed = this.#inhibitAny > 0 || (!last && isSelfIssued(certificate));
    if (anyAllowed && policies.some(({ oid }) => oid === anyPolicy)) {
      for (const [oid, parents] of byExpected)
        if (!level.has(oid)) this.#addNode(level, oid, parents);
    }
    this.#levels.push(level);
    this.#prune();
  }

  // RFC 5280 §6.1.4 (b), (h) to (j)
  prepareNext(certificate: Certificate): void {
    this.#map(certificate);
    if (!isSelfIssued(certificate)) {
      this.#explicitPolicy = Math.max(0, this.#explicitPolicy - 1);
      this.#policyMapping = Math.max(0, this.#policyMapping - 1);
      this.#inhibitAny = Math.max(0, this.#inhibitAny - 1);
    }
    this.constrain(certificate);
  }

  /** Takes over a CA's own limits where they are tighter. */
  constrain({ policyConstraints, inhibitAnyPolicy }: Certificate): void {
    const { requireExplicitPolicy, inhibitPolicyMapping } = policyConstraints ?? {};
    this.#explicitPolicy = Math.min(this.#explicitPolicy, requireExplicitPolicy ?? Infinity);
    this.#policyMapping = Math.min(this.#policyMapping, inhibitPolicyMapping ?? Infinity);
    this.#inhibitAny = Math.min(this.#inhibitAny, inhibitAnyPolicy ?? Infinity);
  }

  // RFC 5280 §6.1.5 (a) and (b)
  finish({ policyConstraints }: Certificate): void {
    this.#explicitPolicy = Math.max(0, this.#explicitPolicy - 1);
    if (policyConstraints?.requireExplicitPolicy === 0) this.#explicitPolicy = 0;
  }

  // RFC 9618 §5.6: the policies that the anchor's domain vouches for, cut with the wanted ones
  isValidFor(wanted: readonly string[] | undefined): boolean {
    if (this.#isNull) return false;
    if (wanted === undefined || wanted.includes(anyPolicy)) return true;
    const valid = this.validPolicies();
    return valid.includes(anyPolicy)
      ? wanted.length > 0
      : valid.some((oid) => wanted.includes(oid));
  }

  validPolicies(): string[] {
    const valid = new Set<string>();
    for (const level of this.#levels) {
      for (const { policy, parents } of level.values()) {
        if (policy !== anyPolicy && parents.some((parent) => parent.policy === anyPolicy))
          valid.add(policy);
      }
    }
    if (this.#levels.at(-1)?.has(anyPolicy) === true) valid.add(anyPolicy);
    return [...valid];
  }

  #indexExpected(level: Level): Map<string, PolicyNode[]> {
    const byExpected = new Map<string, PolicyNode[]>();
    for (const candidate of level.values()) {
      for (const oid of candidate.expected) {
        if (!this.#budget.spend('policySteps')) return byExpected;
        const parents = byExpected.get(oid) ?? [];
        byExpected.set(oid, parents);
        parents.push(candidate);
      }
    }
    return byExpected;
  }

  #addNode(level: Level, policy: string, parents: readonly PolicyNode[]): void {
    if (parents.length === 0 || level.has(policy)) return;
    if (!this.#budget.spend('policySteps', parents.length)) return;
    for (const parent of parents) parent.children += 1;
    level.set(policy, node(policy, parents, [policy]));
  }

  #map({ policyMappings }: Certificate): void {
    const level = this.#levels.at(-1);
    if (policyMappings === undefined || level === undefined) return;
    const mapped = new Map<string, Set<string>>();
    for (const { issuerDomainPolicy, subjectDomainPolicy } of policyMappings) {
      if (!this.#budget.spend('policySteps')) return;
      const targets = mapped.get(issuerDomainPolicy) ?? new Set();
      mapped.set(issuerDomainPolicy, targets.add(subjectDomainPolicy));
    }
    for (const [policy, targets] of mapped) this.#mapPolicy(level, policy, [...targets]);
    this.#prune();
  }

  // RFC 5280 §6.1.4 (b) (1) and (2)
  #mapPolicy(level: Level, policy: string, targets: readonly string[]): void {
    const existing = level.get(policy);
    if (this.#policyMapping === 0) {
      if (existing !== undefined) removeNode(level, existing);
      return;
    }
    if (existing !== undefined) {
      existing.expected = targets;
      return;
    }
    const any = this.#levels.at(-2)?.get(anyPolicy);
    if (!level.has(anyPolicy) || any === undefined) return;
    this.#addNode(level, policy, [any]);
    const added = level.get(policy);
    if (added !== undefined) added.expected = targets;
  }

  /**
   * Drops nodes above the newest level that lead nowhere; an empty newest level is the NULL graph.
   */
  #prune(): void {
    for (let i = this.#levels.length - 2; i >= 0; i -= 1) {
      const level = this.#levels[i];
      for (const candidate of level?.values() ?? []) {
        if (level !== undefined && candidate.children === 0) removeNode(level, candidate);
      }
    }
    if (this.#levels.at(-1)?.size === 0) this.#levels = [];
  }
}

function node(
  policy: string,
  parents: readonly PolicyNode[],
  expected: readonly string[],
): PolicyNode {
  return { policy, parents, expected, children: 0 };
}

function removeNode(level: Level, removed: PolicyNode): void {
  level.delete(removed.policy);
  for (const parent of removed.parents) parent.children -= 1;
}
