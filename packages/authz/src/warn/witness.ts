import type { AuthorizationPolicy, AuthorizationRule } from '../policy/authorization-policy.ts';
import { gatewayNameLabel } from '../policy/policy-target.ts';
import { formatIp, parseIpBlock } from '../rules/ip-block.ts';
import type { TableRequest, TableWorkload } from '../trial/authz-table.ts';

/** Some workload that a policy is for. */
export function workloadOf(policy: AuthorizationPolicy, rootNamespace: string): TableWorkload {
  const { target, namespace } = policy;
  const gateway = target.refs.find(({ kind }) => kind === 'Gateway');
  return {
    namespace: namespace === rootNamespace && gateway === undefined ? 'default' : namespace,
    serviceAccount: 'default',
    labels: {
      ...target.labels,
      ...(gateway !== undefined && { [gatewayNameLabel]: gateway.name }),
    },
    ports: new Map(),
  };
}

export const stranger = 'ns/stranger/sa/stranger';

/**
 * A request that a rule should apply to: of each field the first value, a star in it replaced, and of what the rule
 * does not ask for something harmless. What it must not be is avoided as far as that is easy; whoever needs to be sure
 * tries it.
 *
 * @param trustDomain of a caller that no rule asks about
 */
export function witnessOf(rule: AuthorizationRule, trustDomain: string): TableRequest {
  const source = rule.from?.[0] ?? {};
  const operation = rule.to?.[0] ?? {};
  const first = (values: readonly string[] | undefined) => {
    const [value] = values ?? [];
    return value === undefined ? undefined : instance(value);
  };
  const when = (key: string) => rule.when.find((condition) => condition.key === key)?.values;
  const namespace = first(source.namespaces ?? when('source.namespace'));
  const account = first(source.serviceAccounts ?? when('source.serviceAccount'));
  const domain = first(source.trustDomains ?? when('source.trustDomain')) ?? trustDomain;
  const principal = first(source.principals ?? when('source.principal'));
  const address = (values: readonly string[] | undefined) => addressOf(first(values));
  const ports = operation.ports ?? when('destination.port');
  const sni = first(when('connection.sni'));
  return {
    principal: principal ?? principalOf(domain, namespace, account) ?? undefined,
    sourceIp: address(source.ipBlocks ?? when('source.ip')),
    remoteIp: address(source.remoteIpBlocks ?? when('remote.ip')),
    destinationIp: address(when('destination.ip')),
    port: ports?.[0] === undefined ? undefined : Number(ports[0]),
    sni,
    host: first(operation.hosts),
    method: first(operation.methods) ?? 'GET',
    path: pathOf(operation.paths?.[0]) ?? '/',
    headers: headersOf(rule),
    jwt: claimsOf(rule, first(source.requestPrincipals ?? when('request.auth.principal'))),
  };
}

/** A text that a pattern matches. */
export function instance(pattern: string): string {
  return pattern === '*' ? 'x' : pattern.replaceAll('*', 'x');
}

export function pathOf(pattern: string | undefined): string | undefined {
  if (pattern === undefined) return undefined;
  if (pattern === '*') return '/';
  const path = pattern.replaceAll(/\{\*{1,2}\}/g, 'x').replaceAll('*', 'x');
  return path.startsWith('/') ? path : `/${path}`;
}

function principalOf(
  domain: string,
  namespace: string | undefined,
  account: string | undefined,
): string | undefined {
  if (account !== undefined) {
    const [ns = 'default', name] = account.includes('/')
      ? account.split('/')
      : [undefined, account];
    return `${domain}/ns/${namespace ?? ns}/sa/${name}`;
  }
  return namespace === undefined ? undefined : `${domain}/ns/${namespace}/sa/default`;
}

function addressOf(block: string | undefined): string | undefined {
  if (block === undefined) return undefined;
  const parsed = parseIpBlock(block);
  return typeof parsed === 'string' ? undefined : formatIp(parsed.address);
}

function headersOf({ when }: AuthorizationRule): readonly string[] {
  return when.flatMap(({ key, values }) => {
    const [, name] = /^request\.headers\[(.+)\]$/.exec(key) ?? [];
    const [value] = values;
    return name === undefined || value === undefined ? [] : [name, instance(value)];
  });
}

function claimsOf(
  { when }: AuthorizationRule,
  requestPrincipal: string | undefined,
): Readonly<Record<string, unknown>> | undefined {
  const claims: Record<string, unknown> = {};
  if (requestPrincipal !== undefined) {
    const slash = requestPrincipal.lastIndexOf('/');
    claims.iss = slash === -1 ? requestPrincipal : requestPrincipal.slice(0, slash);
    claims.sub = slash === -1 ? 'x' : requestPrincipal.slice(slash + 1);
  }
  const plain: Readonly<Record<string, string>> = {
    'request.auth.audiences': 'aud',
    'request.auth.presenter': 'azp',
  };
  for (const { key, values } of when) {
    const path = plain[key]?.split('.') ?? claimPath(key);
    const [value] = values;
    if (path !== undefined && value !== undefined) setAt(claims, path, instance(value));
  }
  return Object.keys(claims).length === 0 ? undefined : claims;
}

function claimPath(key: string): string[] | undefined {
  const [, inner] = /^request\.auth\.claims\[(.+)\]$/.exec(key) ?? [];
  return inner?.split('][');
}

function setAt(claims: Record<string, unknown>, path: readonly string[], value: string): void {
  const [key = '', ...rest] = path;
  if (rest.length === 0) {
    claims[key] = value;
    return;
  }
  const inner: Record<string, unknown> = {};
  claims[key] = inner;
  setAt(inner, rest, value);
}
