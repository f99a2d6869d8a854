import fc from 'fast-check';
import type { AuthorizationPolicy } from '../policy/authorization-policy.ts';
import { parseIpBlock } from '../rules/ip-block.ts';
import type { Claims } from '../rules/rule-facts.ts';
import type { EnvoyCase } from './envoy-world.suite.ts';

/** What policies name, as things that a request can have: each value, something near it, and something else. */
export interface Pools {
  readonly ids: readonly string[];
  readonly paths: readonly string[];
  readonly methods: readonly string[];
  readonly hosts: readonly string[];
  readonly headers: readonly (readonly [string, string])[];
  readonly ips: readonly string[];
  readonly ports: readonly number[];
  readonly names: readonly string[];
  readonly claims: readonly Claims[];
}

export function poolsOf(policies: readonly AuthorizationPolicy[]): Pools {
  const values = (...keys: string[]) =>
    policies.flatMap(({ rules }) =>
      rules.flatMap(({ from = [], to = [], when }) => [
        ...[...from, ...to].flatMap((each) => keys.flatMap((key) => each[key] ?? [])),
        ...when
          .filter(({ key }) => keys.includes(key))
          .flatMap((condition) => [...condition.values, ...condition.notValues]),
      ]),
    );
  const conditions = policies.flatMap(({ rules }) => rules.flatMap(({ when }) => when));
  const near = (texts: readonly string[]) =>
    texts.flatMap((text) => [text.replaceAll('*', 'x'), text.replaceAll('*', ''), `${text}y`]);
  const principals = near(values('principals', 'notPrincipals', 'source.principal'));
  const namespaces = near(values('namespaces', 'notNamespaces', 'source.namespace'));
  const accounts = values('serviceAccounts', 'notServiceAccounts', 'source.serviceAccount');
  const domains = near(values('trustDomains', 'notTrustDomains', 'source.trustDomain'));
  const uri = (text: string) => `spiffe://${text.replaceAll(/[^a-zA-Z0-9/._-]/g, '')}`;
  const tokens = near(
    values('requestPrincipals', 'notRequestPrincipals', 'request.auth.principal'),
  ).map((text) => {
    const slash = text.lastIndexOf('/');
    return slash === -1
      ? { iss: text, sub: 'sub' }
      : { iss: text.slice(0, slash), sub: text.slice(slash + 1) };
  });
  const claims = conditions.flatMap(({ key, values: some, notValues }): Claims[] => {
    const path =
      claimPaths[key] ?? [...key.matchAll(/\[([^[\]]+)\]/g)].map((found) => found[1] ?? '');
    if (!key.startsWith('request.auth.') || path.length === 0) return [];
    // RFC 7519 §4.1: these two are texts, or the token is none.
    const isText = path.join() === 'iss' || path.join() === 'sub';
    return near([...some, ...notValues]).flatMap((value) => [
      nested(path, value),
      ...(isText ? [] : [nested(path, ['other', value])]),
    ]);
  });
  return {
    ids: unique([
      ...[...principals, ...domains.map((domain) => `${domain}/ns/foo/sa/bar`)].map(uri),
      ...namespaces.map((namespace) => uri(`td/ns/${namespace}/sa/bar`)),
      ...accounts.map((account) => {
        const [namespace = 'foo', name] = account.includes('/')
          ? account.split('/')
          : ['foo', account];
        return uri(`td/ns/${namespace}/sa/${name}`);
      }),
      'spiffe://cluster.local/ns/default/sa/default',
    ]),
    paths: unique([
      ...near(values('paths', 'notPaths')).map((path) => path.replaceAll(/[{}]/g, '')),
      ...['/', '/x/y', '/x?q=/exact'],
    ]).filter((path) => /^\/[\x21-\x7e]*$/.test(path) && !path.includes('#')),
    methods: unique([
      ...values('methods', 'notMethods').filter((each) => /^[A-Z]+$/.test(each)),
      'GET',
      'PUT',
    ]),
    hosts: unique([
      ...near(values('hosts', 'notHosts')).flatMap((host) => [
        host,
        host.toUpperCase(),
        `${host}:80`,
      ]),
      'other.example',
    ]).filter((host) => /^[\w.:-]+$/.test(host)),
    headers: conditions.flatMap(({ key, values: some, notValues }) => {
      const [, header] = /^request\.headers\[([\w-]+)\]$/.exec(key) ?? [];
      if (header === undefined) return [];
      return near([...some, ...notValues]).map((value) => [header, value] as const);
    }),
    ips: unique([
      ...values(
        ...['ipBlocks', 'notIpBlocks', 'remoteIpBlocks', 'notRemoteIpBlocks'],
        ...['source.ip', 'remote.ip', 'destination.ip'],
      ).flatMap((block) => inAndBeside(block)),
      '198.51.100.7',
    ]),
    ports: unique([...values('ports', 'notPorts', 'destination.port').map(Number), 8080]),
    names: unique(['', ...near(values('connection.sni'))]).filter(
      (name) => name === '' || /^[a-z][\w-]*(?:\.[\w-]+)*$/i.test(name),
    ),
    claims: [...tokens, ...claims],
  };
}

export function casesOf(pools: Pools, listener: number): fc.Arbitrary<EnvoyCase> {
  const one = <T>(of: readonly T[], otherwise: T) =>
    of.length === 0 ? fc.constant(otherwise) : fc.constantFrom(...of);
  // Nobody comes from an address of the network that is none.
  const v4 = pools.ips.filter((ip) => !ip.includes(':') && !ip.startsWith('0.'));
  return fc.record({
    listener: fc.constant(listener),
    id: fc.option(one(pools.ids, ''), { nil: undefined, freq: 6 }),
    sni: one(pools.names, ''),
    sourceIp: one(v4, '198.51.100.7'),
    destinationIp: one(v4, '198.51.100.8'),
    destinationPort: one(pools.ports, 8080),
    method: one(pools.methods, 'GET'),
    path: one(pools.paths, '/'),
    headers: fc
      .tuple(
        one(pools.hosts, 'x'),
        fc.array(one(pools.headers, ['x-other', '1'] as const), { maxLength: 3 }),
      )
      .map(([host, lines]) => ['Host', host, ...lines.flat()]),
    claims:
      pools.claims.length === 0
        ? fc.constant(undefined)
        : fc.option(
            fc
              .array(fc.constantFrom(...pools.claims), { minLength: 1, maxLength: 4 })
              .map((some) => Object.assign({}, ...some) as Claims),
            { nil: undefined, freq: 4 },
          ),
  });
}

const claimPaths: Readonly<Record<string, readonly string[]>> = {
  'request.auth.audiences': ['aud'],
  'request.auth.presenter': ['azp'],
};

function nested(path: readonly string[], value: unknown): Claims {
  return path.reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Claims;
}

function inAndBeside(written: string): string[] {
  const block = parseIpBlock(written);
  if (typeof block === 'string' || block.address.length !== 4) return [];
  const [a = 0, b = 0, c = 0, d = 0] = block.address;
  return [block.text, `${a}.${b}.${c}.${d ^ 1}`, `${a}.${b ^ 1}.${c}.${d}`];
}

function unique<T>(all: readonly T[]): T[] {
  return [...new Set(all)];
}
