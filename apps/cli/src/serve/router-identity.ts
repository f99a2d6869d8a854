import { CountersignError, type Log } from '@countersign/base';
import {
  followIdentity,
  followWorkloadApi,
  type RotatingIdentity,
  readIdentity,
  renewOverMtls,
  startRotation,
} from '@countersign/identity';
import { BundleFile, CertificateAuthority, MtlsProvider } from '@countersign/provider';
import type { JudgedPeer } from '@countersign/revocation';
import type { RouterConfig } from '@countersign/router';
import {
  type BundleSource,
  type Changes,
  neverRevoked,
  type RevocationSource,
  type SvidSource,
} from '@countersign/spiffe';
import type { CutCounts } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { openIssuer } from '../issuers/open-issuer.ts';
import { readSecret } from '../secret-argument.ts';
import { startEdgeRevocation } from './edge-revocation.ts';
import { obtainIdentity, takeOver } from './obtain-identity.ts';
import type { PrometheusMeter } from './prometheus-meter.ts';

/** What a router is and whom it trusts, whoever issued it. */
export interface RouterIdentity {
  readonly svids: SvidSource;
  readonly svidsOf: ReadonlyMap<string, SvidSource>;
  readonly bundles: BundleSource;
  readonly revocation: RevocationSource;
  /** Why it cannot serve as it is. */
  readonly unwell: () => string | undefined;
  readonly status: () => object;
  /** Resolves once it is known who is revoked. */
  readonly ready: Promise<void>;
  /** Takes what somebody has put into its files since. */
  refresh(): Promise<void>;
  close(): Promise<void>;
}

interface Tools {
  readonly cli: Cli;
  readonly log: Log;
  readonly meter: PrometheusMeter;
  /** Of `router.yaml`. */
  readonly directory: string;
  /** Where the identity of an `issuer` is kept, so that a restart needs none. */
  readonly identity: string | undefined;
  /** Where received revocations are kept. */
  readonly data: string | undefined;
  /** Re-asks the open connections. */
  readonly recheck: () => CutCounts;
  /** How many open connections are with peers of whom this holds. */
  readonly countOpen: (concerns: (peer: JudgedPeer) => boolean) => number;
}

/** The identity that `router.yaml` means: none, a local authority's, a Countersign authority's, or of files. */
export function openRouterIdentity(config: RouterConfig, tools: Tools): Promise<RouterIdentity> {
  if (!config.mtls.enabled) return Promise.resolve(noIdentity(config));
  if (config.issuer !== undefined) return issuerIdentity(config, config.issuer, tools);
  if (config.authority === undefined) return localIdentity(config, tools);
  if (config.authority.workload_api !== undefined) return workloadIdentity(config, tools);
  if (config.authority.url !== undefined) return authorityIdentity(config, tools);
  return fileIdentity(config, tools);
}

function noIdentity({ mtls }: RouterConfig): RouterIdentity {
  const none = (): never => {
    throw new CountersignError('ERR_SVID_NONE', 'mTLS is switched off, there is no identity');
  };
  return {
    svids: { svid: none },
    svidsOf: new Map(),
    bundles: { bundle: () => undefined },
    revocation: neverRevoked,
    unwell: () => undefined,
    status: () => ({ enabled: false, trustDomain: mtls.trust_domain }),
    ready: Promise.resolve(),
    refresh: async () => {},
    close: async () => {},
  };
}

async function localIdentity(config: RouterConfig, tools: Tools): Promise<RouterIdentity> {
  const { log, meter, cli } = tools;
  const { clock } = cli;
  const ca = await localAuthority(config, tools);
  const surroundings = { ca, clock, log, meter };
  const provider = await MtlsProvider.create(config.mtls, surroundings);
  provider.startRotation();
  const others = await Promise.all(
    config.subgraphs.flatMap(({ name, identity }) =>
      identity === undefined
        ? []
        : [
            MtlsProvider.create(
              { ...config.mtls, ...identity, trust_bundle_path: undefined },
              surroundings,
            ).then((other) => ({ name, other })),
          ],
    ),
  );
  for (const { other } of others) other.startRotation();
  log.info({ spiffeId: provider.spiffeId, ca: ca.toJSON() }, 'identity of the local authority');
  return {
    svids: provider,
    svidsOf: new Map(others.map(({ name, other }) => [name, other])),
    bundles: provider,
    revocation: neverRevoked,
    unwell: () => (provider.status().certValid ? undefined : 'own certificate has expired'),
    status: () => provider.status(),
    ready: Promise.resolve(),
    refresh: async () => {},
    async close() {
      await Promise.all(
        [provider, ...others.map(({ other }) => other)].map((each) => each.close()),
      );
    },
  };
}

async function localAuthority({ mtls }: RouterConfig, { log, cli }: Tools) {
  const { trust_domain: trustDomain, ca_cert_path: caCertPath, ca_key_path: caKeyPath } = mtls;
  const { clock } = cli;
  if (caCertPath === undefined || caKeyPath === undefined) {
    log.warn(
      {},
      'the authority is in memory: it ends with this router, and only its own subgraphs can trust it',
    );
    return await CertificateAuthority.ephemeral({ trustDomain, clock });
  }
  const files = { caCertPath, caKeyPath, trustDomain, clock };
  const { ca, isNew } = await CertificateAuthority.openOrCreate(files);
  if (isNew) log.warn({ caCertPath, caKeyPath }, 'a new local authority was made');
  return ca;
}

async function authorityIdentity(config: RouterConfig, tools: Tools): Promise<RouterIdentity> {
  const { cli, log, meter, data, recheck, countOpen } = tools;
  const { clock } = cli;
  const { url: ca, token, identity: directory } = config.authority ?? {};
  const secret = token === undefined ? undefined : await readSecret(cli, token, 'authority.token');
  const own = { who: 'router', identity: directory, token: secret, ca };
  const { identity, url } = await obtainIdentity(own, { clock, log });
  const live = startRotation({
    identity,
    renew: renewOverMtls({ url, clock }),
    ...(directory !== undefined && { directory }),
    ...{ clock, log, meter },
  });
  const { revocation: chosen } = config;
  const revocation = startEdgeRevocation({
    config: chosen ?? { method: ['feed'], onUnknown: 'refuse' },
    ...{ url, live, data, recheck, countOpen, clock, log, meter },
    maxPeers: config.limits.max_connections,
  });
  const file = await bundleFile(config, live, tools);
  return {
    ...{ svids: live, svidsOf: new Map(), bundles: file ?? live, revocation: revocation.checks },
    unwell: () => endOf(live, clock.now()) ?? revocation.notReady(),
    status: () => statusOf(live, config, clock.now()),
    ready: revocation.ready,
    refresh: () => takeOver(live, directory),
    async close() {
      file?.stop();
      await Promise.all([revocation.stop(), live.stop()]);
    },
  };
}

async function fileIdentity(config: RouterConfig, tools: Tools): Promise<RouterIdentity> {
  const { cli, log } = tools;
  const { clock } = cli;
  const directory = config.authority?.identity ?? '';
  const identity = await readIdentity(directory);
  const live = followIdentity({ identity, directory, clock, log });
  const file = await bundleFile(config, live, tools);
  return {
    ...{ svids: live, svidsOf: new Map(), bundles: file ?? live, revocation: neverRevoked },
    unwell: () => endOf(live, clock.now()),
    status: () => statusOf(live, config, clock.now()),
    ready: Promise.resolve(),
    refresh: () => live.look(),
    async close() {
      file?.stop();
      live.stop();
    },
  };
}

/** Of an agent's socket: rotation, and the bundles of other trust domains, are its affair. */
async function workloadIdentity(config: RouterConfig, tools: Tools): Promise<RouterIdentity> {
  const { cli, log } = tools;
  const { clock } = cli;
  const { workload_api: address = '', spiffe_id: spiffeId } = config.authority ?? {};
  const live = await followWorkloadApi({ address, spiffeId, clock, log });
  const file = await bundleFile(config, live, tools);
  return {
    ...{ svids: live, svidsOf: new Map(), bundles: file ?? live, revocation: neverRevoked },
    unwell: () => endOf(live, clock.now()),
    status: () => ({ ...statusOf(live, config, clock.now()), trustDomains: live.trustDomains }),
    ready: Promise.resolve(),
    refresh: async () => {},
    async close() {
      file?.stop();
      live.stop();
    },
  };
}

/** Of somebody else's authority, which has no feed: the file says how it is found out who is revoked. */
async function issuerIdentity(
  config: RouterConfig,
  issuer: NonNullable<RouterConfig['issuer']>,
  tools: Tools,
): Promise<RouterIdentity> {
  const { cli, log, meter, data, directory, identity: kept, recheck, countOpen } = tools;
  const { clock } = cli;
  const { live, stop } = await openIssuer(issuer, { cli, directory, kept, clock, log, meter });
  const revocation = startEdgeRevocation({
    config: config.revocation ?? { method: ['lifetime'], onUnknown: 'refuse' },
    ...{ url: undefined, live, data, recheck, countOpen, clock, log, meter },
    maxPeers: config.limits.max_connections,
  });
  const file = await bundleFile(config, live, tools);
  const more = () => {
    if ('trustDomains' in live) return { trustDomains: live.trustDomains };
    return 'stats' in live ? { longerThanAsked: live.stats().longerThanAsked } : {};
  };
  return {
    ...{ svids: live, svidsOf: new Map(), bundles: file ?? live, revocation: revocation.checks },
    unwell: () => endOf(live, clock.now()) ?? revocation.notReady(),
    status: () => ({ ...statusOf(live, config, clock.now()), ...more() }),
    ready: revocation.ready,
    refresh: async () => {},
    async close() {
      file?.stop();
      await Promise.all([revocation.stop(), stop()]);
    },
  };
}

async function bundleFile(
  { mtls }: RouterConfig,
  live: Pick<RotatingIdentity, 'identity'>,
  { cli, log }: Tools,
): Promise<BundleFile | undefined> {
  const { trust_bundle_path: path } = mtls;
  if (path === undefined) return undefined;
  return await BundleFile.follow({ path, own: live.identity.bundle, clock: cli.clock, log });
}

function endOf(live: SvidSource & Partial<Changes>, now: number): string | undefined {
  const { notAfter } = live.svid();
  if (now <= notAfter) return undefined;
  return `own certificate expired at ${new Date(notAfter).toISOString()}`;
}

function statusOf(live: SvidSource, { mtls }: RouterConfig, now: number): object {
  const { spiffeId, serialHex, leaf } = live.svid();
  return {
    enabled: mtls.enabled,
    trustDomain: spiffeId.trustDomain,
    spiffeId: spiffeId.toString(),
    certSerial: serialHex,
    // RFC 5280 §4.1.2.5: the last second of validity is included.
    certValid: leaf.notBefore <= now && now < leaf.notAfter + 1000,
    remainingSecs: Math.max(0, Math.floor((leaf.notAfter - now) / 1000)),
    needsRenewal: now >= leaf.notBefore + (leaf.notAfter - leaf.notBefore) / 2,
  };
}
