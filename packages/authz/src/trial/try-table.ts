import { explainFacts, type RulesExplanation } from '../explain.ts';
import { formatClause, formatRule } from '../explain-rule.ts';
import { type Judgement, judge } from '../judge.ts';
import type { IstioPolicies } from '../policy/istio-policies.ts';
import type { MeshSettings } from '../policy/mesh-settings.ts';
import { tokenRulesFor } from '../policy/request-authentication.ts';
import { parseIp } from '../rules/ip-block.ts';
import type { RuleFacts } from '../rules/rule-facts.ts';
import { type ActionRules, compileRules, type RuleSet } from '../rules/rule-set.ts';
import { admitConnection } from './admit-connection.ts';
import type { TableRequest, TableRow, TableWorkload } from './authz-table.ts';
import { envoyRequest } from './envoy-request.ts';

export interface RowResult {
  readonly got: 'ALLOW' | 'DENY';
  /** For people: which policy and rule, or what came before them. */
  readonly reason: string;
  /** Undefined where no rule was asked. */
  readonly explained: RulesExplanation | undefined;
}

/** Answers rows as the proxies of their workloads would, with Istio's policies for them. */
export class TableTrial {
  readonly #policies: IstioPolicies;
  readonly #mesh: MeshSettings;
  readonly #rules = new Map<string, RuleSet>();

  constructor(policies: IstioPolicies, mesh: MeshSettings) {
    this.#policies = policies;
    this.#mesh = mesh;
    // Two policies of one name are refused before the first row.
    this.#rulesFor({ namespace: '', labels: {} });
  }

  try({ workload, request }: Pick<TableRow, 'workload' | 'request'>): RowResult {
    // 1. Does the listener take the connection, and for what?
    const admission = admitConnection(this.#policies, this.#mesh, workload, request);
    if (!admission.ok) return denied(admission.reason);
    const { protocol, role, names, serverName } = admission;

    // 2. What the proxy makes of the request before its filters.
    const { rootNamespace } = this.#mesh;
    const tokens = tokenRulesFor(this.#policies.tokens, workload, rootNamespace);
    const way = {
      mesh: this.#mesh,
      workload,
      role,
      isTls: names !== undefined,
      spaceDelimitedClaims: tokens
        .filter(({ issuer }) => issuer === request.jwt?.iss)
        .flatMap((rule) => rule.spaceDelimitedClaims),
    };
    const http = protocol === 'http' ? envoyRequest(request, way) : undefined;
    if (http?.ok === false) return denied(http.reason);

    // 3. What the rules say.
    const remoteIp = http?.remoteIp ?? request.remoteIp ?? request.sourceIp;
    const facts: RuleFacts = {
      ...{ names, serverName: serverName.toLowerCase(), request: http?.facts },
      ...addressesOf(request, remoteIp),
      metadata: () => undefined,
    };
    const rules = this.#rulesFor(workload)[protocol];
    const judgement = judge(rules, facts, false);
    const explained = explainFacts(rules, facts, false);
    const reason = `${protocol === 'tcp' ? 'TCP: ' : ''}${reasonOf(judgement, rules, explained)}`;
    return { got: judgement.ok ? 'ALLOW' : 'DENY', reason, explained };
  }

  #rulesFor(workload: Pick<TableWorkload, 'namespace' | 'labels'>): RuleSet {
    const labels = Object.entries(workload.labels).toSorted();
    const key = JSON.stringify([workload.namespace, labels]);
    const before = this.#rules.get(key);
    if (before !== undefined) return before;
    const options = { mesh: this.#mesh, workload, paths: 'as-istio' } as const;
    const rules = compileRules(this.#policies.authorization, options);
    this.#rules.set(key, rules);
    return rules;
  }
}

function addressesOf(request: TableRequest, remoteIp: string | undefined) {
  const read = (text: string | undefined) => (text === undefined ? undefined : parseIp(text));
  return {
    sourceIp: read(request.sourceIp),
    remoteIp: read(remoteIp),
    destinationIp: read(request.destinationIp),
    destinationPort: request.port,
  };
}

function denied(reason: string): RowResult {
  return { got: 'DENY', reason, explained: undefined };
}

function reasonOf(judgement: Judgement, rules: ActionRules, { closest }: RulesExplanation): string {
  const where = (rule: {
    policy: string;
    index: number;
    file: string;
    position: { line: number; column: number };
  }) => formatRule({ ...rule, rule: rule.index });
  if (judgement.ok) {
    if (judgement.rule !== undefined) return `allowed by ${where(judgement.rule)}`;
    return 'no ALLOW policy is for the workload, and nothing denies';
  }
  if (judgement.by === 'deny') return `denied by ${where(judgement.rule)}`;
  if (judgement.by === 'provider') {
    const { provider } = judgement.rule;
    return `${where(judgement.rule)} asks provider "${provider}", which answers nothing here`;
  }
  if (closest !== undefined) {
    const missing = closest.clauses.filter((clause) => !clause.applies).map(formatClause);
    return `no rule allows it; closest is ${formatRule(closest)}: ${missing.join('; ')}`;
  }
  const whole = rules.dropped.find(({ isWhole }) => isWhole);
  if (whole === undefined) return `policy ${rules.allowPolicies.join(', ')} allows nothing`;
  const fields = whole.fields.map(({ name }) => name).join(', ');
  return `no rule is left that could allow it: ${where(whole.rule)} asks for ${fields}, which only HTTP has`;
}
