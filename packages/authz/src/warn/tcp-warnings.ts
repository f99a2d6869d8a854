import type { AuthorizationPolicy, AuthorizationRule } from '../policy/authorization-policy.ts';
import { gatewaysOf } from '../policy/istio-gateway.ts';
import { isFor } from '../policy/policy-target.ts';
import { readClauses } from '../rules/rule-clauses.ts';
import { nameOf } from '../rules/rule-set.ts';
import type { TableWorkload } from '../trial/authz-table.ts';
import {
  alone,
  formatRequest,
  type PolicyWarning,
  tried,
  type WarningScene,
} from './policy-warning.ts';
import { witnessOf, workloadOf } from './witness.ts';

/** Rules that ask for what only HTTP has, where the port is known to carry something else. */
export function tcpWarnings(
  scene: WarningScene,
  policy: AuthorizationPolicy,
): readonly PolicyWarning[] {
  return policy.rules.flatMap((rule, index) => {
    const reading = readClauses(rule, {
      isAllow: policy.action === 'ALLOW',
      protocol: 'tcp',
      context: { namespace: policy.namespace, trustDomains: [scene.mesh.trustDomain] },
    });
    if (reading.dropped.length === 0) return [];
    const place = tcpPort(scene, policy, rule);
    if (place === undefined) return [];
    const { port, workload } = place;
    const witness = witnessOf(rule, scene.mesh.trustDomain);
    const request = { ...witness, method: undefined, path: undefined, host: undefined, port };
    const bare = { ...request, headers: [], jwt: undefined };
    const example = tried(alone(scene, policy), workload, bare);
    const names = [...new Set(reading.dropped.map(({ name }) => name))].join(', ');
    const effect =
      policy.action === 'ALLOW'
        ? 'the rule is left out there and allows nothing'
        : `the rule is asked without it there and ${policy.action === 'DENY' ? 'denies' : 'means'} more`;
    const verdict = example.got === 'ALLOW' ? 'allowed' : 'denied';
    const warning: PolicyWarning = {
      code: 'ERR_AUTHZ_TCP_FIELD',
      weight: 'finding',
      message: [
        `policy ${nameOf(policy)} rules[${index}]: port ${port} is no HTTP,`,
        `and only HTTP has ${names}: ${effect}: ${formatRequest(bare)} is ${verdict}`,
      ].join(' '),
      file: policy.file,
      position: rule.position,
      example,
    };
    return [warning];
  });
}

interface TcpPort {
  readonly port: number;
  readonly workload: TableWorkload;
}

/** A port of the rule that a workload or a Gateway declares as TCP, or that everybody knows as such. */
function tcpPort(
  scene: WarningScene,
  policy: AuthorizationPolicy,
  rule: AuthorizationRule,
): TcpPort | undefined {
  const named = new Set((rule.to ?? []).flatMap(({ ports = [] }) => ports).map(Number));
  const isAsked = (port: number) => named.size === 0 || named.has(port);
  const { mesh, workloads = [], policies } = scene;
  for (const workload of workloads) {
    if (!isFor(policy.target, policy.namespace, workload, mesh.rootNamespace)) continue;
    for (const [port, protocol] of workload.ports) {
      if (isAsked(port) && /^(?:tcp|tls|https|mongo|mysql|redis)/i.test(protocol)) {
        return { port, workload };
      }
    }
  }
  const some = workloadOf(policy, mesh.rootNamespace);
  const server = gatewaysOf(policies.gateways, some)
    .flatMap(({ servers }) => servers)
    .find(({ protocol, port }) => protocol === 'tcp' && isAsked(port));
  if (server !== undefined) return { port: server.port, workload: some };
  const known = [...named].find((port) => wellKnownTcp.has(port));
  if (known === undefined) return undefined;
  return { port: known, workload: { ...some, ports: new Map([[known, 'tcp']]) } };
}

/** SSH, SMTP, DNS, LDAP, SQL Server, Oracle, ZooKeeper, MySQL, AMQP, PostgreSQL, Redis, Kafka, Cassandra, memcached, MongoDB. */
const wellKnownTcp: ReadonlySet<number> = new Set([
  ...[22, 25, 53, 389, 636, 1433, 1521, 2181, 3306, 5432, 5672, 6379, 9042, 9092, 11_211, 27_017],
]);
