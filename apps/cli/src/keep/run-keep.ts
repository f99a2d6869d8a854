import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Log, type Meter, messageOf, type Secret } from '@countersign/base';
import { type AdminServer, startAdminServer } from '@countersign/gateway';
import {
  authorityClient,
  type ProofKey,
  renewOverMtls,
  startRotation,
} from '@countersign/identity';
import type { Cli } from '../cli.ts';
import { readInput } from '../read-input.ts';
import type { Running } from '../serve/long-running.ts';
import { obtainIdentity, takeOver } from '../serve/obtain-identity.ts';
import type { PrometheusMeter } from '../serve/prometheus-meter.ts';
import { type KeepConfig, parseKeepConfig } from './keep-config.ts';
import { type KeepTools, type KeptReport, keepPass } from './keep-pass.ts';
import { OtherIssuers } from './kept-source.ts';

export interface RunKeepOptions {
  readonly config: string;
  readonly identity?: string;
  readonly token?: Secret<string>;
  readonly ca?: string;
  readonly proofKey?: ProofKey;
  readonly adminPort?: number;
}

interface Surroundings {
  readonly cli: Cli;
  readonly log: Log;
  readonly meter: PrometheusMeter;
}

/** Between two looks: what somebody did to a file, or to the clock, is noticed by then. */
const longestNapMs = 60_000;
const firstRetryMs = 1000;

/** Looks at everything once; see {@link keepPass}. */
export async function keepOnce(
  options: RunKeepOptions,
  around: Surroundings,
): Promise<readonly KeptReport[]> {
  const { cli, log } = around;
  const { config, live, tools, stop } = await openKeeper(
    options,
    around,
    new AbortController().signal,
  );
  try {
    const nextRenewalAt = live?.stats().nextRenewalAt ?? 0;
    // Its failure is told by the rotation; what is ordered may go well all the same.
    if (live !== undefined && nextRenewalAt <= cli.clock.now())
      await live.renewNow().catch(() => log.warn({}, "the keeper's own identity is due"));
    return await keepPass(config.certificates, tools);
  } finally {
    await stop();
  }
}

/** Keeps everything fresh until it is told to end. */
export async function runKeep(options: RunKeepOptions, around: Surroundings): Promise<Running> {
  const { cli, log, meter } = around;
  const stopping = new AbortController();
  const { signal } = stopping;
  const keeper = await openKeeper(options, around, signal);
  const gauges = gaugesOf(meter);
  let { config } = keeper;
  let wake = new AbortController();
  let reports: readonly KeptReport[] = [];
  const admin = await startAdmin(options, around, () => unwellOf(reports));

  async function look(): Promise<void> {
    reports = await keepPass(config.certificates, keeper.tools);
    gauges(reports);
  }

  async function keepFresh(): Promise<void> {
    for (let failures = 0; !signal.aborted; await look()) {
      const hasFailed = reports.some(({ failure }) => failure !== undefined);
      failures = hasFailed ? failures + 1 : 0;
      const retryMs = hasFailed ? firstRetryMs * 2 ** Math.min(failures, 10) : longestNapMs;
      const dueMs = Math.min(...reports.map(({ renewAt }) => (renewAt ?? 0) - cli.clock.now()));
      const napMs = hasFailed ? retryMs : Math.max(0, dueMs);
      const awake = AbortSignal.any([signal, wake.signal]);
      await cli.clock.sleep(Math.min(napMs, longestNapMs), { signal: awake }).catch(() => {});
      wake = wake.signal.aborted ? new AbortController() : wake;
    }
  }

  // Whoever waits for the word has files by then, as far as they are to be had.
  await look();
  const done = keepFresh().catch((thrown) => {
    if (!signal.aborted) log.error({ err: thrown }, `keeping ended: ${messageOf(thrown)}`);
  });
  return {
    urls: [
      pathToFileURL(resolve(options.config)).href,
      ...(admin === undefined ? [] : [admin.url]),
    ],
    async reload() {
      config = await readKeepConfig(cli, options.config);
      if (keeper.live !== undefined) await takeOver(keeper.live, keeper.directory);
      wake.abort();
    },
    async close() {
      stopping.abort();
      await done;
      await Promise.all([keeper.stop(), admin?.close()]);
    },
  };
}

/** @throws ConfigError, CountersignError ERR_FILE */
export async function readKeepConfig(cli: Cli, path: string): Promise<KeepConfig> {
  const bytes = await readInput(cli, path, 'read configuration');
  return parseKeepConfig(Buffer.from(bytes).toString('utf8'), path);
}

async function openKeeper(
  options: RunKeepOptions,
  { cli, log, meter }: Surroundings,
  signal: AbortSignal,
) {
  const { clock } = cli;
  // 1. what is to be kept
  const config = await readKeepConfig(cli, options.config);
  // 2. who orders it
  const directory = options.identity ?? config.identity;
  const { proofKey } = options;
  const own = { token: options.token, ca: options.ca ?? config.ca, identity: directory, proofKey };
  const others = new OtherIssuers();
  const isOursAsked = Object.values(own).some((each) => each !== undefined);
  if (!isOursAsked && config.certificates.every(({ from }) => from !== undefined)) {
    const none = { authority: undefined, keeper: undefined };
    const tools: KeepTools = { cli, ...none, others, clock, log, signal };
    return { config, live: undefined, directory, tools, stop: async () => others.close() };
  }
  const { identity, url } = await obtainIdentity({ ...own, who: 'keep' }, { clock, log });
  const live = startRotation({
    identity,
    renew: renewOverMtls({ url, clock, ...(proofKey !== undefined && { proofKey }) }),
    ...(directory === undefined ? {} : { directory }),
    ...{ clock, log, meter },
  });
  // 3. at whom
  const { trustDomain } = identity.bundle;
  const authority = authorityClient({ url, svids: live, bundles: live, trustDomain, clock });
  const tools: KeepTools = { cli, authority, keeper: live, others, clock, log, signal };
  const stop = async () => {
    others.close();
    await live.stop();
  };
  return { config, live, directory, tools, stop };
}

function unwellOf(reports: readonly KeptReport[]): string | undefined {
  const failed = reports.find(({ failure }) => failure !== undefined);
  return failed === undefined ? undefined : `"${failed.name}": ${failed.failure?.message}`;
}

function gaugesOf(meter: Meter): (reports: readonly KeptReport[]) => void {
  const ends = meter.gauge({
    name: 'countersign_kept_certificate_not_after_seconds',
    help: 'When a kept certificate ends, in seconds since the Unix epoch.',
    labels: ['certificate'],
  });
  const failed = meter.gauge({
    name: 'countersign_kept_certificate_failed',
    help: 'Whether the newest look at a kept certificate failed, by code.',
    labels: ['certificate'],
  });
  const renewed = meter.counter({
    name: 'countersign_kept_certificates_total',
    help: 'What looks at kept certificates came to.',
    labels: ['did'],
  });
  return function show(reports) {
    for (const { name: certificate, notAfter, failure, did } of reports) {
      if (notAfter !== undefined) ends.set(notAfter / 1000, { certificate });
      failed.set(failure === undefined ? 0 : 1, { certificate });
      if (did !== 'nothing') renewed.add(1, { did });
    }
  };
}

async function startAdmin(
  { adminPort }: RunKeepOptions,
  { log, meter }: Surroundings,
  unwell: () => string | undefined,
): Promise<AdminServer | undefined> {
  if (adminPort === undefined) return undefined;
  const place = { address: '127.0.0.1', port: adminPort };
  return startAdminServer({ ...place, metricsText: meter.metricsText, unwell, log });
}
