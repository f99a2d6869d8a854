import { type Denial, denial } from '@countersign/base';
import { isAnonymous } from '@countersign/mtls';
import { formatName } from '@countersign/x509';
import { withinNetworks } from './listener-config.ts';
import type { RbacModel, RbacRule } from './model/rbac-model.ts';
import { headerTest, type RoutedRequest } from './model/request-match.ts';
import { textTest } from './model/text-match.ts';
import type { Session } from './session.ts';

export interface RbacAsked {
  readonly request: RoutedRequest;
  readonly session: Pick<Session, 'peer' | 'live'>;
}

type RuleTest = (asked: RbacAsked) => boolean;

/** Why one of the filters lets a request not through; undefined where all do. */
export type RbacTest = (asked: RbacAsked) => Denial | undefined;

/**
 * Filters of Envoy's RBAC, asked one after the other.
 *
 * @throws SyntaxError for an expression that is none
 */
export function rbacTest(filters: readonly RbacModel[]): RbacTest {
  const tests = filters.map(filterTest);
  return (asked) => {
    for (const test of tests) {
      const refused = test(asked);
      if (refused !== undefined) return refused;
    }
    return undefined;
  };
}

function filterTest({ action, policies }: RbacModel): RbacTest {
  const compiled = policies.map(({ name, permissions, principals }) => ({
    name,
    matches: bothTest(permissions.map(ruleTest), principals.map(ruleTest)),
  }));
  return (asked) => {
    const found = compiled.find(({ matches }) => matches(asked));
    if (action === 'DENY') {
      if (found === undefined) return undefined;
      return denial('ERR_AUTHZ_DENIED', `RBAC policy "${found.name}" denies it`, {
        policy: found.name,
      });
    }
    if (found !== undefined) return undefined;
    return denial('ERR_AUTHZ_NO_RULE', 'no RBAC policy allows it', {});
  };
}

function bothTest(permissions: readonly RuleTest[], principals: readonly RuleTest[]): RuleTest {
  return (asked) =>
    permissions.some((test) => test(asked)) && principals.some((test) => test(asked));
}

function ruleTest(rule: RbacRule): RuleTest {
  const compile = compilers[rule.kind] as (rule: RbacRule) => RuleTest;
  return compile(rule);
}

type Of<K extends RbacRule['kind']> = RbacRule & { readonly kind: K };

const compilers: { readonly [K in RbacRule['kind']]: (rule: Of<K>) => RuleTest } = {
  any: () => () => true,
  and: ({ rules }) => {
    const tests = rules.map(ruleTest);
    return (asked) => tests.every((test) => test(asked));
  },
  or: ({ rules }) => {
    const tests = rules.map(ruleTest);
    return (asked) => tests.some((test) => test(asked));
  },
  not: ({ rule }) => {
    const test = ruleTest(rule);
    return (asked) => !test(asked);
  },
  header: ({ match }) => {
    const test = headerTest(match);
    return ({ request }) => test(request);
  },
  path: ({ value }) => {
    const test = textTest(value);
    return ({ request }) => test(request.head.target.path);
  },
  serverName: ({ value }) => {
    const test = textTest(value);
    return ({ session }) => test(session.live.facts.serverNames[0] ?? '');
  },
  authenticated: ({ name }) => {
    const test = name === undefined ? () => true : textTest(name);
    // As in Envoy, TLS is what counts: without a name also who showed no certificate.
    return ({ session }) => session.live.facts.protocol !== '' && namesOf(session).some(test);
  },
  network: ({ of, network }) => {
    const isWithin = withinNetworks([network]);
    return ({ session }) => isWithin(session.live.facts[addresses[of]]);
  },
  port: ({ from, to }) => {
    return ({ request }) => request.port >= from && request.port <= to;
  },
};

const addresses = {
  destination: 'localAddress',
  source: 'sourceAddress',
  remote: 'remoteAddress',
} as const;

/** As Envoy looks for them: URI names, without any DNS names, without these the subject, empty of who has none. */
function namesOf({ peer }: Pick<Session, 'peer'>): readonly string[] {
  if (isAnonymous(peer)) return [''];
  const of = (kind: 'uri' | 'dns') =>
    peer.names.flatMap((name) => (name.kind === kind ? [name.value] : []));
  const uris = of('uri');
  if (uris.length > 0) return uris;
  const dns = of('dns');
  return dns.length > 0 ? dns : [formatName(peer.leaf.subject)];
}
