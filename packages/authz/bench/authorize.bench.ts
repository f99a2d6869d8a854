import assert from 'node:assert/strict';
import { pathToFileURL } from 'node:url';
import { makeBundle, staticBundles, verifyPeer } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import {
  type AuthzQuestion,
  authorize,
  compileRules,
  parseAuthorizationPolicies,
} from '../src/index.ts';

export interface AuthorizeFigures {
  /** One answer, in nanoseconds. */
  readonly figureNanos: number;
  /** The same decision written by hand, for these rules alone. */
  readonly floorNanos: number;
  readonly ratio: number;
  readonly rules: number;
  /** What an answer leaves behind for the garbage collector, the permit itself included. */
  readonly bytesEach: number;
}

/**
 * A permit under a policy as services have them: a DENY rule by path, and ALLOW rules by caller, method and path, of which
 * the last of `rules` applies; beside the few comparisons that nobody can do without.
 */
export function measureAuthorize(rules = 20): AuthorizeFigures {
  const ca = testCa({ at: 0 });
  const id = 'spiffe://example.com/ns/prod/sa/web';
  const bundles = staticBundles(makeBundle('example.com', [ca.root]));
  const verified = verifyPeer({ chain: ca.svid(id).chain, bundles, at: 0, purpose: 'client' });
  assert.ok(verified.ok);
  const { peer } = verified;
  const set = compileRules(parseAuthorizationPolicies(policyOf(rules)));
  const request = { method: 'GET', path: `/orders/7?page=2`, host: 'orders.example.com' };
  const connection = { sourceIp: '10.0.0.7', destinationIp: '10.0.0.1', destinationPort: 8443 };
  const question: AuthzQuestion = {
    ...{ peer, revocation: { status: 'good' }, at: 0, unknownRevocation: 'refuse' },
    ...{ request, connection },
  };
  const callers = new Set([id.slice('spiffe://'.length)]);
  const methods = new Set(['GET', 'HEAD']);
  const byHand = (asked: AuthzQuestion): boolean => {
    const { path = '', method = '' } = asked.request ?? {};
    const mark = path.indexOf('?');
    const plain = mark === -1 ? path : path.slice(0, mark);
    if (plain === '/admin' || plain.startsWith('/admin/')) return false;
    const who = peer.names[0];
    const caller = who?.kind === 'uri' ? who.value.slice('spiffe://'.length) : '';
    return callers.has(caller) && methods.has(method) && plain.startsWith('/orders/');
  };
  assert.ok(authorize(set, question).ok && byHand(question));
  const nanosOf = (ask: () => unknown) => {
    for (let i = 0; i < 50_000; i += 1) ask();
    const times = Array.from({ length: 7 }, () => {
      const before = process.threadCpuUsage();
      for (let i = 0; i < calls; i += 1) ask();
      const { user, system } = process.threadCpuUsage(before);
      return ((user + system) * 1000) / calls;
    });
    return times.toSorted((a, b) => a - b)[3] ?? 0;
  };
  const figureNanos = nanosOf(() => authorize(set, question));
  const floorNanos = nanosOf(() => byHand(question));
  return {
    ...{ figureNanos, floorNanos, ratio: figureNanos / floorNanos, rules },
    bytesEach: bytesOf(() => authorize(set, question)),
  };
}

const calls = 200_000;

/** The middle of rounds that are short enough that most have no collection between. */
function bytesOf(ask: () => unknown): number {
  const rounds = Array.from({ length: 15 }, () => {
    const before = process.memoryUsage().heapUsed;
    for (let i = 0; i < 500; i += 1) ask();
    return (process.memoryUsage().heapUsed - before) / 500;
  });
  return rounds.toSorted((a, b) => a - b)[7] ?? 0;
}

function policyOf(rules: number): string {
  const rule = (n: number, path: string) =>
    `    - from: [{ source: { principals: [example.com/ns/prod/sa/caller-${n}, example.com/ns/prod/sa/web] } }]
      to: [{ operation: { methods: [GET, HEAD], paths: ["${path}"] } }]\n`;
  const others = Array.from({ length: rules - 1 }, (_, n) => rule(n, `/service-${n}/*`));
  const policy = (name: string, spec: string) =>
    `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: ${name}, namespace: prod }\nspec:\n${spec}`;
  const allow = policy('allow', `  rules:\n${others.join('')}${rule(rules, '/orders/*')}`);
  const deny = policy(
    'deny',
    '  action: DENY\n  rules: [{ to: [{ operation: { paths: [/admin, "/admin/*"] } }] }]\n',
  );
  return `${allow}---\n${deny}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  console.log(measureAuthorize(1), measureAuthorize(20));
}
