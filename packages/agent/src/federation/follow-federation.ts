import { type Clock, type Gauge, type Log, type Meter, messageOf } from '@countersign/base';
import { parseBundle, parseBundleDocument, type TrustBundle } from '@countersign/spiffe';
import type { FederatedDomain } from '../agent-config.ts';
import type { BundleBook } from '../svids/bundle-book.ts';
import { fetchBundle } from './fetch-bundle.ts';

export interface FederationOptions {
  readonly bundles: BundleBook;
  /** Of a path as the configuration has it. */
  readonly readFile: (path: string) => Promise<Uint8Array>;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

const waits = { hintMs: 300_000, leastMs: 1000, mostMs: 3_600_000, retryMs: 10_000 } as const;

/** The bundles of foreign trust domains, each by its own source. */
export class Federation {
  readonly #options: FederationOptions;
  readonly #readAt: Gauge;
  #stopping = new AbortController();
  #following: readonly Promise<void>[] = [];

  constructor(options: FederationOptions) {
    this.#options = options;
    this.#readAt = options.meter.gauge({
      name: 'countersign_agent_federated_bundle_read_seconds',
      help: 'When the bundle of a foreign trust domain was last read, in seconds since the Unix epoch.',
      labels: ['trust_domain'],
    });
  }

  /**
   * Follows these, and those before no more. An endpoint is asked again when its last bundle said so, known by that bundle,
   * so that the other side may rotate its root; a failure changes nothing.
   *
   * @throws CountersignError ERR_BUNDLE_* or ERR_FILE for a file that cannot be used; then it goes on as before
   */
  async follow(domains: readonly FederatedDomain[]): Promise<void> {
    const { bundles, readFile } = this.#options;
    // 1. what files say, before anything is asked of the network
    const read: TrustBundle[] = [];
    for (const { trustDomain, source } of domains) {
      if (source.kind === 'https_web') continue;
      // What an endpoint said since is newer than the file for its first contact.
      if (source.kind === 'https_spiffe' && bundles.bundle(trustDomain) !== undefined) continue;
      const path = source.kind === 'file' ? source.path : source.bootstrapPath;
      read.push(readBundle(await readFile(path), trustDomain));
    }
    await this.stop();
    for (const bundle of read) bundles.put(bundle);
    // 2. what endpoints say, each at its own pace
    this.#stopping = new AbortController();
    const { signal } = this.#stopping;
    this.#following = domains.map((domain) =>
      followEndpoint(domain, { ...this.#options, signal }, this.#readAt),
    );
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#following);
    this.#following = [];
  }
}

async function followEndpoint(
  { trustDomain, source }: FederatedDomain,
  options: FederationOptions & { readonly signal: AbortSignal },
  readAt: Gauge,
): Promise<void> {
  if (source.kind === 'file') return;
  const { bundles, clock, log, signal } = options;
  while (!signal.aborted) {
    let waitMs: number = waits.retryMs;
    try {
      const bundle = await fetchBundle(trustDomain, source, { bundles, clock, signal });
      bundles.put(bundle);
      readAt.set(clock.now() / 1000, { trust_domain: trustDomain });
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
