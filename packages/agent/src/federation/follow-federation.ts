import { type Clock, type Gauge, type Log, type Meter, messageOf } from '@countersign/base';
import { parseBundle, parseBundleDocument, type TrustBundle } from '@countersign/spiffe';
import type { FederatedDomain } from '../agent-config.ts';
import type { BundleBook } from '../svids/bundle-book.ts';
import { fetchBundle } from './fetch-bundle.ts';

export interface FederationOptions {
  readonly domains: readonly FederatedDomain[];
  readonly bundles: BundleBook;
  /** Of a path as the configuration has it. */
  readonly readFile: (path: string) => Promise<Uint8Array>;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly signal: AbortSignal;
}

export interface Following {
  /** Resolves some time after the signal. */
  readonly done: Promise<void>;
}

const waits = { hintMs: 300_000, leastMs: 1000, mostMs: 3_600_000, retryMs: 10_000 } as const;

/**
 * Keeps the bundles of foreign trust domains, each by its own source, until the signal. An endpoint is asked again when
 * its last bundle said so, known by that bundle, so that the other side may rotate its root; a failure changes nothing.
 *
 * @throws CountersignError ERR_BUNDLE_* or ERR_FILE for a file that cannot be used
 */
export async function followFederation(options: FederationOptions): Promise<Following> {
  const age = options.meter.gauge({
    name: 'countersign_agent_federated_bundle_read_seconds',
    help: 'When the bundle of a foreign trust domain was last read, in seconds since the Unix epoch.',
    labels: ['trust_domain'],
  });
  // 1. what files say, before anything is asked of the network
  for (const { trustDomain, source } of options.domains) {
    if (source.kind === 'https_web') continue;
    const path = source.kind === 'file' ? source.path : source.bootstrapPath;
    options.bundles.put(readBundle(await options.readFile(path), trustDomain));
  }
  // 2. what endpoints say, each at its own pace
  const following = options.domains.map((domain) => followEndpoint(domain, options, age));
  return { done: Promise.all(following).then(() => {}) };
}

async function followEndpoint(
  { trustDomain, source }: FederatedDomain,
  options: FederationOptions,
  age: Gauge,
): Promise<void> {
  if (source.kind === 'file') return;
  const { bundles, clock, log, signal } = options;
  while (!signal.aborted) {
    let waitMs: number = waits.retryMs;
    try {
      const bundle = await fetchBundle(trustDomain, source, { bundles, clock, signal });
      bundles.put(bundle);
      age.set(clock.now() / 1000, { trust_domain: trustDomain });
      waitMs = waitOf(bundle);
    } catch (thrown) {
      if (signal.aborted) return;
      log.warn({ trustDomain, waitMs }, `federated bundle not read: ${messageOf(thrown)}`);
    }
    await clock.sleep(waitMs, { signal, ref: false }).catch(() => {});
  }
}

// Trust Domain and Bundle §4.1.2: how often the publisher wants to be asked.
function waitOf({ refreshHintSeconds }: TrustBundle): number {
  const hintMs = refreshHintSeconds === undefined ? waits.hintMs : refreshHintSeconds * 1000;
  return Math.min(Math.max(hintMs, waits.leastMs), waits.mostMs);
}

/** A SPIFFE bundle document, or certificates in PEM. */
function readBundle(bytes: Uint8Array, trustDomain: string): TrustBundle {
  const text = Buffer.from(bytes).toString('utf8');
  return text.trimStart().startsWith('{')
    ? parseBundleDocument(text, trustDomain)
    : parseBundle(text, trustDomain);
}
