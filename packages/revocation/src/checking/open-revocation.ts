import { randomInt } from 'node:crypto';
import { type Clock, CountersignError, type Log, type Meter } from '@countersign/base';
import type { BundleSource, SvidSource } from '@countersign/spiffe';
import { CrlMethod } from '../crl/crl-method.ts';
import type { RevocationFollower } from '../follow-revocations.ts';
import { keepStaple, type StapleKeeper } from '../ocsp/keep-staple.ts';
import { OcspMethod } from '../ocsp/ocsp-method.ts';
import { StapleMethod } from '../ocsp/staple-method.ts';
import { feedMethod } from './feed-method.ts';
import { GuardedHttp } from './guarded-http.ts';
import { lifetimeMethod } from './lifetime-method.ts';
import { RevocationChecks } from './revocation-checks.ts';
import { type RevocationConfig, revocationDefaults } from './revocation-config.ts';
import type { MethodName, RevocationMethod } from './revocation-method.ts';

export interface OpenRevocationOptions {
  readonly config: RevocationConfig;
  /** Needed for method `feed`; its life is the caller's. */
  readonly follower?: RevocationFollower;
  /** Whose certificates are stapled for, where `stapleOwn` is chosen. */
  readonly svids: SvidSource;
  readonly bundles: BundleSource;
  /** How many peers there may be at the same time: what is known of each is remembered. Default 10,000. */
  readonly maxPeers?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly random?: () => number;
}

export interface OpenedRevocation {
  readonly checks: RevocationChecks;
  /** Present where staples are kept for our own certificate. */
  readonly staples: StapleKeeper | undefined;
  /** Ends look-ups and what was kept. Never rejects. */
  stop(): Promise<void>;
}

/** Lists that are kept at the same time: those of shards and deltas included. */
const mostLists = 1024;

/**
 * What an edge goes by, as its configuration chose it.
 *
 * @throws CountersignError ERR_USAGE where the method is `feed` and no follower is given
 */
export function openRevocation(options: OpenRevocationOptions): OpenedRevocation {
  const { config, clock, log, meter } = options;
  const shared = { clock, log, meter, random: options.random ?? cryptoRandom };
  const fetch = { ...revocationDefaults.fetch, ...definedOf(config.fetch) };
  const http = new GuardedHttp({
    ...{ allow: fetch.allow, timeoutMs: fetch.timeout, maxConcurrent: fetch.maxConcurrent, clock },
  });
  const methods = methodsOf(options, http, shared);
  const checks = new RevocationChecks({
    ...shared,
    methods: config.method.map((name) => methods[name]()),
    onUnknown: config.onUnknown,
    waitMs: config.wait ?? revocationDefaults.wait,
  });
  const staples = config.stapleOwn === true ? ownStaples(options, http, shared) : undefined;
  return {
    checks,
    staples,
    async stop() {
      await Promise.all([checks.stop(), staples?.stop()]);
    },
  };
}

type Shared = Pick<OpenRevocationOptions, 'clock' | 'log' | 'meter'> & { random: () => number };

/** A row a method; opened where it is chosen. */
function methodsOf(
  { config, follower, maxPeers = 10_000 }: OpenRevocationOptions,
  http: GuardedHttp,
  shared: Shared,
): Readonly<Record<MethodName, () => RevocationMethod>> {
  const defaults = revocationDefaults;
  const maxStaleMs = config.maxStale ?? defaults.maxStale;
  const scope = config.scope ?? defaults.scope;
  const crl = { ...defaults.crl, ...definedOf(config.crl) };
  const ocsp = { url: undefined, ...defaults.ocsp, ...definedOf(config.ocsp) };
  const openCrl = once(
    () =>
      new CrlMethod({
        ...{ ...shared, http, scope, maxStaleMs, urls: crl.urls, capacity: mostLists },
        ...{ refreshMs: crl.refresh, maxBytes: crl.maxBytes },
      }),
  );
  const asking = { http, hash: ocsp.hash, nonce: ocsp.nonce, maxAgeMs: ocsp.refresh };
  const isCrlChosen = config.method.includes('crl');
  return {
    feed() {
      if (follower !== undefined) {
        return feedMethod(follower, config.maxSilence ?? defaults.maxSilence);
      }
      throw new CountersignError('ERR_USAGE', 'revocation method "feed" has no feed to follow');
    },
    crl: openCrl,
    ocsp: () => openOcsp(scope),
    staple: () =>
      new StapleMethod({
        ...{ ocsp: openOcsp('leaf'), maxStaleMs, maxAgeMs: ocsp.refresh, capacity: maxPeers },
        clock: shared.clock,
      }),
    lifetime: () => lifetimeMethod(config.maxLifetime ?? defaults.maxLifetime),
  };

  function openOcsp(how: 'chain' | 'leaf'): OcspMethod {
    return new OcspMethod({
      ...{ ...shared, ...asking, url: ocsp.url, scope: how, maxStaleMs },
      ...{ refreshMs: ocsp.refresh, capacity: 2 * maxPeers },
      // A delegate's own list is asked where lists are asked anyway.
      ...(isCrlChosen && { clears: (chain) => openCrl().clears(chain) }),
    });
  }
}

function ownStaples(
  { config, svids, bundles }: OpenRevocationOptions,
  http: GuardedHttp,
  shared: Shared,
): StapleKeeper {
  const { url, hash, refresh } = {
    url: undefined,
    ...revocationDefaults.ocsp,
    ...definedOf(config.ocsp),
  };
  return keepStaple({
    ...{ ...shared, http, svids, bundles, url, hash, maxAgeMs: refresh, refreshMs: refresh },
  });
}

/** Without what is left out, so that it does not hide the default. */
function definedOf<T extends object>(value: T | undefined): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(
    Object.entries(value ?? {}).filter(([, each]) => each !== undefined),
  ) as { [K in keyof T]?: NonNullable<T[K]> };
}

function once<T>(open: () => T): () => T {
  let opened: { readonly value: T } | undefined;
  return () => {
    opened ??= { value: open() };
    return opened.value;
  };
}

function cryptoRandom(): number {
  return randomInt(2 ** 32) / 2 ** 32;
}
