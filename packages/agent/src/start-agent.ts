import { randomInt } from 'node:crypto';
import { readFile as readBytes } from 'node:fs/promises';
import type { Clock, Log, Meter } from '@countersign/base';
import type { TrustBundle } from '@countersign/spiffe';
import type {
  AgentFrame,
  BatchRequest,
  BatchResponse,
  JwtSvidAnswer,
  JwtSvidOrder,
} from '@countersign/wire';
import type { FederatedDomain } from './agent-config.ts';
import type { Entry } from './entries/entry.ts';
import { EntryBook } from './entries/entry-book.ts';
import { followAuthority } from './entries/follow-authority.ts';
import { Federation } from './federation/follow-federation.ts';
import { JwtCache } from './jwt/jwt-cache.ts';
import { type Kernel, openKernel } from './peer/kernel.ts';
import { SdsReport } from './sds/sds-report.ts';
import { sdsService } from './sds/sds-service.ts';
import { Admission } from './serve/admit-workload.ts';
import { LiveStreams } from './serve/live-streams.ts';
import { LocalServer } from './serve/local-server.ts';
import { workloadApi } from './serve/workload-api.ts';
import { BundleBook } from './svids/bundle-book.ts';
import { HeldIdentities } from './svids/held-identities.ts';
import { SvidKeeper } from './svids/svid-keeper.ts';

/** What the agent asks of its authority, over mTLS with its own certificate. */
export interface AgentAuthority {
  issueBatch(
    request: BatchRequest,
    options: { readonly signal: AbortSignal },
  ): Promise<BatchResponse>;
  jwtSvid(order: JwtSvidOrder, options: { readonly signal: AbortSignal }): Promise<JwtSvidAnswer>;
  /** The agent's entries and the bundle, and every change of them. */
  watchAgent(options: { readonly signal: AbortSignal }): AsyncIterable<AgentFrame>;
}

export interface AgentOptions {
  readonly socket: string;
  /** Of the agent's own identity. */
  readonly bundle: TrustBundle;
  readonly authority: AgentAuthority;
  readonly entries: readonly Entry[];
  readonly federation?: readonly FederatedDomain[];
  /** Of a path as the configuration has it; asked at the start alone. */
  readonly readFile?: (path: string) => Promise<Uint8Array>;
  readonly maxConnections?: number;
  /** Default: the one that this process runs on. */
  readonly kernel?: Kernel;
  /** From 0 to below 1, for jitter. */
  readonly random?: () => number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

export interface Agent {
  readonly socket: string;
  readonly bundles: BundleBook;
  /** Resolves once each entry has its SVID, or it is known that it has none yet. */
  readonly settled: Promise<void>;
  /** Replaces the entries of the file; what did not change keeps its SVID, and streams stay open. */
  setEntries(entries: readonly Entry[]): void;
  /** Follows these foreign trust domains from here on; the bundles of others are kept, and go stale. */
  setFederation(domains: readonly FederatedDomain[]): Promise<void>;
  /** What keeps workloads from their identities, or undefined: for health checks. */
  unwell(): string | undefined;
  /** Renews every SVID now. */
  renewAll(): void;
  stats(): AgentStats;
  close(): Promise<void>;
}

export interface AgentStats {
  readonly entries: number;
  readonly streams: number;
}

/**
 * Serves the SPIFFE Workload API and SDS on a Unix socket.
 *
 * @throws CountersignError ERR_AGENT_PLATFORM, ERR_AGENT_SOCKET
 */
export async function startAgent(options: AgentOptions): Promise<Agent> {
  const { authority, clock, log, meter } = options;
  const random = options.random ?? cryptoRandom;
  // 1. whom to serve, and whom to trust
  const kernel = options.kernel ?? (await openKernel());
  const book = new EntryBook(log);
  const bundles = new BundleBook(options.bundle, log);
  book.replace('file', options.entries);
  // 2. an SVID for each entry, kept fresh from here on, in memory alone
  const issue = authority.issueBatch.bind(authority);
  const keeper = new SvidKeeper({ book, bundles, issue, random, clock, log, meter });
  const identities = new HeldIdentities(keeper, bundles, (thrown) => {
    log.error({ err: thrown }, 'a listener to the identities failed');
  });
  const stopping = new AbortController();
  const { signal } = stopping;
  // 3. the socket; streams are kept up to date for as long as they are open
  const { maxConnections } = options;
  const server = new LocalServer({
    ...{ path: options.socket, kernel, clock, log, meter },
    ...(maxConnections === undefined ? {} : { maxConnections }),
  });
  const now = () => clock.monotonic();
  const admission = new Admission({ book, keeper, log, meter, now });
  const streams = new LiveStreams({ admission, book, identities, log });
  const tokens = new JwtCache(authority.jwtSvid.bind(authority), clock, signal);
  server.add(workloadApi({ admission, streams, identities, tokens, now: () => clock.now(), log }));
  const report = new SdsReport({ log, meter });
  server.add(sdsService({ admission, streams, identities, report }));
  const federation = new Federation({
    ...{ bundles, readFile: options.readFile ?? readBytes, clock, log, meter },
  });
  try {
    // 4. whom foreign trust domains trust
    await federation.follow(options.federation ?? []);
    await server.listen();
  } catch (thrown) {
    stopping.abort();
    streams.stop();
    await Promise.all([keeper.stop(), federation.stop()]);
    throw thrown;
  }
  log.info({ socket: server.path }, 'agent serves');
  // 5. what the authority says from here on
  const watch = authority.watchAgent.bind(authority);
  const following = followAuthority({
    ...{ watch, book, bundles, keeper, random, clock, log, signal },
  });
  return {
    socket: server.path,
    bundles,
    settled: settledOf(book, keeper),
    setEntries: (entries) => book.replace('file', entries),
    setFederation: (domains) => federation.follow(domains),
    unwell: () => keeper.evicted?.detail,
    renewAll: () => keeper.renewAll(),
    stats: () => ({ entries: book.entries.length, streams: streams.count }),
    async close() {
      stopping.abort();
      streams.stop();
      await server.close(200);
      await Promise.all([keeper.stop(), following, federation.stop()]);
      log.info({ socket: server.path }, 'agent stopped serving');
    },
  };
}

function settledOf(book: EntryBook, keeper: SvidKeeper): Promise<void> {
  const isSettled = () => book.entries.every((entry) => keeper.isSettled(entry.id));
  if (isSettled()) return Promise.resolve();
  return new Promise((resolve) => {
    const unsubscribe = keeper.onChange(() => {
      if (!isSettled()) return;
      unsubscribe();
      resolve();
    });
  });
}

function cryptoRandom(): number {
  return randomInt(2 ** 32) / 2 ** 32;
}
