import {
  type Clock,
  type Fields,
  type Labels,
  type Log,
  type Meter,
  noLog,
  noMeter,
  systemClock,
} from '@countersign/base';
import {
  type BundleSource,
  ChangeSignal,
  type Changes,
  makeBundle,
  makeSvid,
  neverRevoked,
  type RevocationSource,
  type SvidSource,
  type X509Svid,
} from '@countersign/spiffe';
import { type Mutations, type TestCa, testCa } from '@countersign/testkit';
import { Agent, fetch } from 'undici';
import { parseRouterConfig, type RouterConfig } from './config/router-config.ts';
import { type Router, startRouter } from './start-router.ts';
import { type SubgraphSource, serveSubgraph, type TestSubgraph } from './subgraph.suite.ts';

export interface World {
  readonly ca: TestCa;
  readonly identity: TestIdentity;
  readonly router: Router;
  /** As it was started with. */
  readonly config: RouterConfig;
  readonly subgraphs: ReadonlyMap<string, TestSubgraph>;
  /** Log lines of the router, with their messages as `msg`. */
  readonly lines: (Fields & { readonly level: string; readonly msg: string })[];
  /** Sends an operation without an identity, or by whoever `as` is. */
  ask(query: string, options?: AskOptions): Promise<Answer>;
  close(): Promise<void>;
}

export interface AskOptions {
  readonly variables?: object;
  readonly headers?: Readonly<Record<string, string>>;
  /** Service name whose certificate is shown; the router must do client mTLS. */
  readonly as?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly data?: Record<string, unknown> | null;
  readonly errors?: {
    readonly message: string;
    readonly path?: readonly (string | number)[];
    readonly extensions?: Record<string, unknown>;
  }[];
}

/** The router's identity, which a test may rotate. */
export interface TestIdentity extends SvidSource, BundleSource, Changes {
  rotate(): void;
}

export interface WorldOptions {
  readonly sources: readonly SubgraphSource[];
  /** Further YAML of router.yaml. */
  readonly yaml?: string;
  /** Of one subgraph, by name: lines of its entry. */
  readonly entries?: Readonly<Record<string, string>>;
  readonly plaintext?: boolean;
  readonly revocation?: RevocationSource;
  readonly clock?: Clock;
  /** Stands in for the subgraph of that name. */
  readonly impostors?: Readonly<Record<string, (ca: TestCa) => Promise<TestSubgraph>>>;
  /** Files that router.yaml names, beside the SDL of the subgraphs. */
  readonly files?: Readonly<Record<string, string>>;
  readonly meter?: Meter;
  readonly binaries?: Readonly<Record<string, Uint8Array>>;
}

/** A router and its subgraphs on this machine, every hop of which is mTLS with certificates of one authority. */
export async function routerWorld(options: WorldOptions): Promise<World> {
  const { sources, clock = systemClock } = options;
  const isMtls = options.plaintext !== true;
  const lines: World['lines'] = [];
  const log = collectingLog(lines);
  const ca = testCa();
  const identity = testIdentity(ca);
  const subgraphs = new Map<string, TestSubgraph>();
  for (const source of sources) {
    const { name } = source;
    const impostor = options.impostors?.[name];
    const own = isMtls ? { svid: serviceSvid(ca, name), bundle: bundleOf(ca) } : undefined;
    subgraphs.set(name, await (impostor?.(ca) ?? serveSubgraph(source, own)));
  }
  const text = `
listen: { port: 0 }
mtls: { enabled: ${isMtls}, trust_domain: example.org }
subgraphs:
${[...subgraphs].map(([name, { url }]) => entryOf(name, url, options)).join('\n')}
${options.yaml ?? ''}
`;
  const files: Record<string, string> = { ...options.files };
  for (const { name, sdl } of sources) files[`${name}.graphql`] = sdl;
  const config = parseRouterConfig(mergeListen(text), 'router.yaml', {});
  const started = startRouter({
    ...{ config, svids: identity, bundles: identity, clock, log, meter: options.meter ?? noMeter },
    revocation: options.revocation ?? neverRevoked,
    mtlsStatus: () => ({ enabled: isMtls, spiffeId: identity.svid().spiffeId.toString() }),
    readText: async (path) => {
      const found = files[path];
      if (found === undefined) throw new Error(`no file "${path}"`);
      return found;
    },
    async readBytes(path) {
      const found = options.binaries?.[path];
      if (found === undefined) throw new Error(`no file "${path}"`);
      return found;
    },
  });
  const closeSubgraphs = () => Promise.all([...subgraphs.values()].map((each) => each.close()));
  const router = await started.catch(async (thrown) => {
    await closeSubgraphs();
    throw thrown;
  });
  const agents = new Map<string, Agent>();
  async function agentOf(as: string | undefined): Promise<Agent> {
    const known = agents.get(as ?? '');
    if (known !== undefined) return known;
    const pem = as === undefined ? {} : clientPem(ca, as);
    const agent = new Agent({ connect: { ...pem, rejectUnauthorized: false } });
    agents.set(as ?? '', agent);
    return agent;
  }
  return {
    ...{ ca, identity, router, config, subgraphs, lines },
    async ask(query, { variables, headers, as } = {}) {
      const response = await fetch(`${router.url}/graphql`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({ query, variables }),
        dispatcher: await agentOf(as),
      });
      const body = (await response.json()) as object;
      return { status: response.status, headers: response.headers as unknown as Headers, ...body };
    },
    async close() {
      for (const agent of agents.values()) await agent.destroy();
      await router.close();
      await closeSubgraphs();
    },
  };
}

const names: Mutations = { dns: ['localhost'], ip: ['127.0.0.1'] };

/** A service's certificate, right unless a test asks for a mutation. */
export function serviceSvid(ca: TestCa, service: string, mutations: Mutations = {}): X509Svid {
  const id = `spiffe://example.org/ns/default/sa/${service}`;
  const { chain, privateKey } = ca.svid(id, { ...names, ...mutations });
  return makeSvid(chain, privateKey);
}

export function bundleOf(ca: TestCa) {
  return makeBundle('example.org', [ca.root]);
}

/** What `node:tls` takes of a client of the authority. */
export function clientPem(
  ca: TestCa,
  service: string,
): { readonly key: string; readonly cert: string } {
  const { keyPem, chainPem } = ca.svid(`spiffe://example.org/ns/default/sa/${service}`, names);
  return { key: keyPem, cert: chainPem };
}

function testIdentity(ca: TestCa): TestIdentity {
  const changes = new ChangeSignal(() => {});
  const bundle = bundleOf(ca);
  let svid = serviceSvid(ca, 'router');
  return {
    svid: () => svid,
    bundle: (domain) => (domain === bundle.trustDomain ? bundle : undefined),
    authorities: () => bundle.authorities,
    onChange: (listener) => changes.onChange(listener),
    rotate() {
      svid = serviceSvid(ca, 'router');
      changes.notify();
    },
  };
}

/** Counts, so that a test can ask. */
export function collectingMeter(): {
  readonly meter: Meter;
  /** The sum over all series that have these labels. */
  of(name: string, labels?: Labels): number;
} {
  const series: { name: string; labels: Labels; value: number }[] = [];
  const find = (name: string, labels: Labels) => {
    const text = JSON.stringify(labels);
    const known = series.find((each) => each.name === name && JSON.stringify(each.labels) === text);
    if (known !== undefined) return known;
    const made = { name, labels, value: 0 };
    series.push(made);
    return made;
  };
  const plus = (name: string, by: number, labels: Labels) => {
    find(name, labels).value += by;
  };
  return {
    meter: {
      counter: ({ name }) => ({ add: (by = 1, labels = {}) => plus(name, by, labels) }),
      gauge: ({ name }) => ({
        set(value, labels = {}) {
          find(name, labels).value = value;
        },
      }),
      histogram: ({ name }) => ({ observe: (_value, labels = {}) => plus(name, 1, labels) }),
    },
    of: (name, labels = {}) =>
      series
        .filter((each) => each.name === name)
        .filter((each) =>
          Object.entries(labels).every(([key, value]) => each.labels[key] === value),
        )
        .reduce((sum, { value }) => sum + value, 0),
  };
}

export function collectingLog(lines: World['lines']): Log {
  const at = (level: string) => (fields: Fields, msg: string) =>
    void lines.push({ ...fields, level, msg });
  return {
    ...noLog,
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => collectingLog(lines),
  };
}

function entryOf(name: string, url: string, { entries, sources }: WorldOptions): string {
  const own = entries?.[name];
  // What speaks gRPC has no SDL of its own.
  const isDescribed = sources.some((source) => source.name === name && source.sdl !== '');
  const schema = isDescribed ? `\n    schema: ${name}.graphql` : '';
  return `  - name: ${name}\n    url: ${url}${schema}${own === undefined ? '' : `\n    ${own}`}`;
}

/** A test that says \`listen\` itself says all of it. */
function mergeListen(text: string): string {
  return /^listen: .*\n[\s\S]*^listen:/m.test(text) ? text.replace(/^listen: .*$/m, '') : text;
}
