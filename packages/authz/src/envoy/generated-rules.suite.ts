import fc from 'fast-check';
import { hasHeader, headerValues } from '../request/header-lines.ts';
import { normalizeClaims } from '../rules/claim-match.ts';
import { parseIp } from '../rules/ip-block.ts';
import type { Claims, RuleFacts } from '../rules/rule-facts.ts';

/** A request as plain data, from which facts, or bytes for an Envoy, are made. */
export interface PlainRequest {
  /** A SPIFFE ID with its scheme; undefined: no TLS. */
  readonly id: string | undefined;
  readonly method: string;
  readonly path: string;
  readonly host: string;
  /** Names and values alternating. */
  readonly headers: readonly string[];
  readonly sourceIp: string;
  readonly destinationPort: number;
  readonly serverName: string;
  readonly claims: Claims | undefined;
}

export function factsOfPlain(asked: PlainRequest, protocol: 'http' | 'tcp'): RuleFacts {
  const { id, claims } = asked;
  return {
    names: id === undefined ? undefined : { uris: [id], dnsNames: [], subject: '' },
    serverName: asked.serverName,
    sourceIp: parseIp(asked.sourceIp),
    remoteIp: parseIp(asked.sourceIp),
    destinationIp: parseIp('127.0.0.1'),
    destinationPort: asked.destinationPort,
    request:
      protocol === 'tcp'
        ? undefined
        : {
            method: asked.method,
            path: asked.path.replace(/\?.*$/, ''),
            host: asked.host,
            claims: claims === undefined ? undefined : normalizeClaims(claims, []),
            hasHeader: (name, matches) => hasHeader(asked.headers, name, matches),
            headerValues: (name) => headerValues(asked.headers, name),
          },
    metadata: () => undefined,
  };
}

const ids = [
  'spiffe://td1/ns/foo/sa/web',
  'spiffe://td1/ns/foo/sa/webs',
  'spiffe://td1/ns/bar/sa/web',
  'spiffe://td2/ns/foo/sa/web',
  'spiffe://td1/x/ns/foo/y/sa/web/z',
  'spiffe://cluster.local/ns/foo/sa/web',
];
const sourceValues: Record<string, readonly string[]> = {
  principals: [
    ...['td1/ns/foo/sa/web', 'cluster.local/ns/foo/sa/web', 'td1/*', '*/sa/web', '*', '*web'],
    ...['*/ns/foo/sa/web', 'td*/ns/foo/sa/web', 'spiffe://td1/ns/foo/sa/web', 'td1/ns/*/sa/web'],
  ],
  namespaces: ['foo', 'bar', 'f*', '*r', '*', 'f*o', 'sa'],
  serviceAccounts: ['web', 'foo/web', 'bar/web', 'foo/we'],
  trustDomains: ['td1', 'td*', '*1', '*', 'td'],
  ipBlocks: ['127.0.0.1', '127.0.0.0/8', '10.0.0.0/8', '127.0.0.2/31', '::1', '0.0.0.0/0'],
  remoteIpBlocks: ['127.0.0.1', '127.0.0.3', '127.0.0.0/30', '192.0.2.0/24'],
};
const requestPrincipals = ['iss/sub', '*', 'iss/*', '*/sub', 'iss', 'https://i.example/sub'];
const operationValues: Record<string, readonly string[]> = {
  hosts: ['a.example', 'A.Example', '*.example', 'a.*', '*', 'a.example:80'],
  methods: ['GET', 'POST', 'P*', '*T', '*'],
  paths: [
    ...['/', '/a', '/a/*', '*/c', '*', '/a/{*}', '/{**}/c', '/a/{*}/{**}', '/A', '*.js', '/a*c'],
  ],
  ports: ['80', '8080', '0'],
};
const conditions: Record<string, readonly string[]> = {
  'request.headers[X-Custom]': ['a', 'b', 'a*', '*b', '*', 'a,b'],
  'request.headers[accept]': ['a', 'a,b', '*'],
  'request.headers[:path]': ['/a', '/a*', '*?q'],
  'source.ip': sourceValues.ipBlocks ?? [],
  'source.namespace': ['foo', 'b*'],
  'source.principal': ['td1/ns/foo/sa/web', '*'],
  'source.trustDomain': ['td1', '*'],
  'source.serviceAccount': ['web', 'bar/web'],
  'destination.ip': ['127.0.0.1', '10.0.0.0/8'],
  'destination.port': ['80', '8080'],
  'connection.sni': ['a.example', '*.example', '*'],
  'experimental.envoy.filters.a.b[c]': ['x', '[x]'],
};
const tokenConditions: Record<string, readonly string[]> = {
  'request.auth.principal': requestPrincipals,
  'request.auth.audiences': ['aud1', 'aud*', '*'],
  'request.auth.presenter': ['azp', '*'],
  'request.auth.claims[groups]': ['admin', 'a*', '*'],
  'request.auth.claims[scope]': ['read', 'read write'],
  'request.auth.claims[nested][key]': ['v', '*'],
  'request.auth.claims[number]': ['7', '*'],
};

const some = <T>(of: readonly T[]) =>
  fc.uniqueArray(fc.constantFrom(...of), { minLength: 1, maxLength: 2 });

function fieldsOf(values: Record<string, readonly string[]>, apart: readonly string[]) {
  const keys = Object.keys(values).filter((key) => !apart.includes(key));
  const model: Record<string, fc.Arbitrary<string[]>> = {};
  for (const key of keys) {
    model[key] = some(values[key] ?? []);
    model[`not${key.charAt(0).toUpperCase()}${key.slice(1)}`] = some(values[key] ?? []);
  }
  return fc
    .record(model, { requiredKeys: [] })
    .map((all) => Object.fromEntries(Object.entries(all).slice(0, 3)))
    .chain((chosen) => {
      const entries = Object.entries(chosen);
      return fc.shuffledSubarray(entries, { maxLength: Math.min(2, entries.length) });
    })
    .filter((entries) => entries.length > 0)
    .map((entries) => Object.fromEntries(entries));
}

/** Rules over all fields; those of tokens where the asked can have one. */
export function generatedRules(withTokens: boolean) {
  const sources = withTokens ? { ...sourceValues, requestPrincipals } : sourceValues;
  const keys = withTokens ? { ...conditions, ...tokenConditions } : conditions;
  const condition = fc.constantFrom(...Object.entries(keys)).chain(([key, values]) =>
    fc
      .record({ values: some(values), notValues: some(values) }, { requiredKeys: [] })
      .filter(({ values: v, notValues: n }) => v !== undefined || n !== undefined)
      .map((lists) => ({ key, ...lists })),
  );
  const source = fc.oneof(
    fieldsOf(sources, ['serviceAccounts']),
    fieldsOf(sources, ['principals', 'namespaces']),
  );
  const list = <T>(of: fc.Arbitrary<T>) => fc.array(of, { minLength: 1, maxLength: 2 });
  const rule = fc.record(
    {
      from: list(source.map((each) => ({ source: each }))),
      to: list(fieldsOf(operationValues, []).map((each) => ({ operation: each }))),
      when: list(condition),
    },
    { requiredKeys: [] },
  );
  const policy = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        action: fc.constant('ALLOW'),
        rules: fc.array(rule, { maxLength: 3 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ action: fc.constant('DENY'), rules: list(rule) }) },
    { weight: 1, arbitrary: fc.record({ action: fc.constant('AUDIT'), rules: list(rule) }) },
  );
  return fc.array(policy, { minLength: 1, maxLength: 3 });
}

export const generatedRequests = (ports: readonly number[], withTokens: boolean) =>
  fc.record({
    id: fc.constantFrom(...ids, undefined),
    method: fc.constantFrom('GET', 'POST', 'PUT'),
    path: fc.constantFrom(
      ...['/', '/a', '/a/b', '/a/c', '/b/c', '/A', '/a/[c', '/a/b/c', '/x.js', '/a?q', '/a*c'],
    ),
    host: fc.constantFrom('a.example', 'A.EXAMPLE', 'b.a.example', 'a.example:80', 'x'),
    headers: fc
      .array(
        fc.tuple(
          fc.constantFrom('x-custom', 'X-Custom', 'accept'),
          fc.constantFrom('a', 'b', 'a,b'),
        ),
        { maxLength: 3 },
      )
      .map((lines) => lines.flat()),
    sourceIp: fc.constantFrom('127.0.0.1', '127.0.0.2', '127.0.0.3'),
    destinationPort: fc.constantFrom(...ports),
    serverName: fc.constantFrom('', 'a.example', 'b.example'),
    claims: withTokens
      ? fc.option(
          fc.record(
            {
              iss: fc.constantFrom('iss', 'https://i.example', 'other'),
              sub: fc.constantFrom('sub', 'other', ''),
              aud: fc.constantFrom<unknown>('aud1', ['x', 'aud2'], 'none'),
              azp: fc.constantFrom('azp', 'x'),
              groups: fc.constantFrom<unknown>(['admin', 'b'], 'admin', [], ['b']),
              scope: fc.constantFrom('read write', 'read', ''),
              nested: fc.constantFrom<unknown>({ key: 'v' }, { key: ['v', 'w'] }, 'v', { key: 1 }),
              number: fc.constant(7),
            },
            { requiredKeys: [] },
          ),
          { nil: undefined },
        )
      : fc.constant(undefined),
  }) satisfies fc.Arbitrary<PlainRequest>;

/** Written as a file and read again, so that the whole way is under test. */
export function policyFile(policies: readonly object[]): string {
  return policies
    .map((spec, index) =>
      JSON.stringify({
        apiVersion: 'security.istio.io/v1',
        kind: 'AuthorizationPolicy',
        metadata: { name: `p${index}`, namespace: 'foo' },
        spec,
      }),
    )
    .join('\n---\n');
}
