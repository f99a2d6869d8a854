import type { Denial } from '@countersign/base';
import { expectedIds, type RouterConfig } from './config/router-config.ts';
import type { ResponseError } from './execute/response-error.ts';
import { type OfflineEngine, openOffline, type ReadFiles } from './offline-engine.ts';
import { type Caller, matchesPrincipal, stranger } from './operation/caller.ts';
import type { PathStep, Plan, SubgraphOperation } from './plan/plan.ts';
import { subgraphSettings } from './subgraph/subgraph-settings.ts';

export interface ExplainQuestion {
  readonly config: RouterConfig;
  readonly files: ReadFiles;
  readonly query: string;
  readonly operationName?: string | undefined;
  /** SPIFFE ID of the caller; undefined: a stranger. */
  readonly as: string | undefined;
}

/** What would become of an operation, without running it. */
export interface OperationExplanation {
  readonly ok: boolean;
  readonly caller: { readonly spiffeId: string | null; readonly roles: readonly string[] };
  /** Why it would not run. */
  readonly errors: readonly ResponseError[];
  /** Fields that the caller would not get, and why. */
  readonly refused: readonly { readonly coordinate: string; readonly reason: string }[];
  readonly steps: readonly ExplainedStep[];
}

export type ExplainedStep =
  | { readonly kind: 'sequence' | 'parallel'; readonly steps: readonly ExplainedStep[] }
  | {
      readonly kind: 'condition';
      readonly if: string;
      readonly is: boolean;
      readonly steps: readonly ExplainedStep[];
    }
  | {
      readonly kind: 'fetch';
      readonly subgraph: string;
      readonly url: string;
      /** Where in the answer the entities stand that it fetches more of; empty for root fields. */
      readonly at: string;
      /** Who we are to it; absent where it is called in plaintext. */
      readonly presents: string | null;
      /** Who must answer. */
      readonly expects: readonly string[];
      readonly operation: string;
      /** Methods that are called, where it speaks gRPC. */
      readonly calls: readonly string[] | undefined;
    };

/** @throws CountersignError ERR_ROUTER_*, ERR_USAGE */
export async function explainOperation(question: ExplainQuestion): Promise<OperationExplanation> {
  const { config, query, operationName, as } = question;
  const offline = await openOffline(config, question.files);
  const { supergraph, preparer, close } = offline;
  const caller = callerNamed(as, config);
  const prepared = await preparer.prepare(query, operationName, caller);
  close();
  const described = { spiffeId: as ?? null, roles: [...caller.roles] };
  if (!prepared.ok) {
    return { ok: false, caller: described, errors: prepared.errors, refused: [], steps: [] };
  }
  const refused = prepared.refusals.map(describeRefusal);
  const isRejected = refused.length > 0 && config.authorization.on_refused === 'reject';
  const urlOf = (name: string) => subgraphSettings(config, name, supergraph.subgraphs.get(name));
  const step =
    prepared.plan === undefined
      ? []
      : [stepOf(prepared.plan, config, urlOf, await callsReader(offline))];
  return { ok: !isRejected, caller: described, errors: [], refused, steps: isRejected ? [] : step };
}

/** For people: the caller, what is refused, then each fetch. */
export function formatOperationExplanation(explained: OperationExplanation): string {
  const { caller, errors, refused, steps, ok } = explained;
  const roles = caller.roles.length === 0 ? '' : `, roles ${caller.roles.join(', ')}`;
  const lines = [`as ${caller.spiffeId ?? 'a stranger'}${roles}`];
  for (const { message } of errors) lines.push(`invalid: ${message}`);
  for (const { coordinate, reason } of refused) lines.push(`refused ${coordinate}: ${reason}`);
  if (!ok && errors.length === 0)
    lines.push('the whole operation is refused (authorization.on_refused: reject)');
  if (ok && steps.length === 0) lines.push('nothing is fetched');
  for (const step of steps) lines.push(...formatStep(step, ''));
  return `${lines.join('\n')}\n`;
}

function callerNamed(as: string | undefined, { authorization }: RouterConfig): Caller {
  if (as === undefined) return stranger;
  const roles = Object.entries(authorization.roles)
    .filter(([, patterns]) => matchesPrincipal(as, patterns))
    .map(([role]) => role);
  return { ...stranger, spiffeId: as, roles: new Set(roles) };
}

function describeRefusal({ detail, fields }: Denial) {
  return { coordinate: String(fields.coordinate), reason: detail };
}

type SettingsOf = (name: string) => ReturnType<typeof subgraphSettings>;
type CallsOf = (subgraph: string, operation: string) => readonly string[] | undefined;

async function callsReader({ services }: OfflineEngine): Promise<CallsOf> {
  if (services.size === 0) return () => undefined;
  const { methodsOf } = await import('./grpc/describe-service.ts');
  return (subgraph, operation) => {
    const service = services.get(subgraph);
    return service === undefined ? undefined : methodsOf(service, operation);
  };
}

function stepOf(
  plan: Plan,
  config: RouterConfig,
  settingsOf: SettingsOf,
  callsOf: CallsOf,
): ExplainedStep {
  const fetch = (operation: SubgraphOperation, at: readonly PathStep[]): ExplainedStep => {
    const { subgraph } = operation;
    const settings = settingsOf(subgraph);
    const isMtls = settings.transport === 'mtls';
    return {
      kind: 'fetch',
      ...{ subgraph, url: settings.url.href, at: at.map(textOfStep).join('.') },
      presents: isMtls ? presentedTo(subgraph, config) : null,
      expects: isMtls ? expectedIds(config, subgraph) : [],
      operation: operation.operation,
      calls: callsOf(subgraph, operation.operation),
    };
  };
  switch (plan.kind) {
    case 'sequence':
    case 'parallel':
      return {
        kind: plan.kind,
        steps: plan.nodes.map((each) => stepOf(each, config, settingsOf, callsOf)),
      };
    case 'condition': {
      const isTrue = plan.whenTrue !== undefined;
      const next = plan.whenTrue ?? plan.whenFalse;
      const steps = next === undefined ? [] : [stepOf(next, config, settingsOf, callsOf)];
      return { kind: 'condition', if: plan.variable, is: isTrue, steps };
    }
    case 'fetch':
      return fetch(plan, []);
    case 'flatten':
      return fetch(plan.fetch, plan.path);
    case 'batch':
      return fetch(plan, plan.aliases[0]?.paths[0] ?? []);
    case 'subscription':
      return fetch(plan.primary, []);
  }
}

/** Of an authority's or a directory's identity the name is known at run time alone. */
function presentedTo(
  subgraph: string,
  { mtls, subgraphs, authority, issuer }: RouterConfig,
): string {
  if (issuer !== undefined) return issuer.spiffe_id ?? 'the identity of "issuer"';
  if (authority !== undefined) return 'the identity of "authority"';
  const own = subgraphs.find(({ name }) => name === subgraph)?.identity ?? mtls;
  return `spiffe://${mtls.trust_domain}/ns/${own.namespace}/sa/${own.service_name}`;
}

function textOfStep(step: PathStep): string {
  if (step.kind === 'field') return step.name;
  return step.kind === 'list' ? '@' : `|[${step.names.join('|')}]`;
}

function formatStep(step: ExplainedStep, indent: string): string[] {
  if (step.kind === 'fetch') {
    const at = step.at === '' ? '' : ` at ${step.at}`;
    const how =
      step.presents === null
        ? 'in plaintext'
        : `as ${step.presents}, to ${step.expects.join(' or ')} alone`;
    return [
      `${indent}fetch ${step.subgraph}${at} (${step.url})`,
      `${indent}  ${how}`,
      `${indent}  ${step.operation}`,
      ...(step.calls ?? []).map((path) => `${indent}  calls ${path}`),
    ];
  }
  const title = step.kind === 'condition' ? `if $${step.if} is ${step.is}` : step.kind;
  return [`${indent}${title}`, ...step.steps.flatMap((each) => formatStep(each, `${indent}  `))];
}
