import { type Clock, type Log, type Meter, noLog, noMeter, systemClock } from '@countersign/base';
import { type Identity, type RotatingIdentity, startRotation } from '@countersign/identity';
import {
  type BundleSource,
  ChangeSignal,
  type Changes,
  type SvidSource,
  type TrustBundle,
  type X509Svid,
} from '@countersign/spiffe';
import { BundleFile } from './bundle-file.ts';
import { CertificateAuthority } from './certificate-authority.ts';
import { type ClientOptions, type MtlsClient, openMtlsClient } from './mtls-client.ts';
import {
  type MtlsProviderOptions,
  type ProviderSettings,
  readProviderOptions,
} from './provider-options.ts';

export interface MtlsStatus {
  readonly enabled: boolean;
  readonly trustDomain: string;
  readonly spiffeId: string;
  /** Lowercase hexadecimal; empty where mTLS is off. */
  readonly certSerial: string;
  readonly certValid: boolean;
  readonly remainingSecs: number;
  /** Half of its lifetime is over. */
  readonly needsRenewal: boolean;
}

export interface ProviderSurroundings {
  /** The authority to use instead of the one that the options name. */
  readonly ca?: CertificateAuthority;
  readonly clock?: Clock;
  readonly log?: Log;
  readonly meter?: Meter;
  /** Says that plaintext on failure is meant, in production too. */
  readonly production?: boolean;
}

/**
 * An authority and an identity of it that stays fresh, with clients that always use the newest. The private key stays
 * in this process's memory.
 */
export class MtlsProvider implements SvidSource, BundleSource, Changes {
  readonly settings: ProviderSettings;
  readonly ca: CertificateAuthority;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #meter: Meter;
  readonly #anchors: BundleSource & Partial<Changes & { stop(): void }>;
  readonly #changes: ChangeSignal;
  readonly #clients = new Set<MtlsClient>();
  #identity: Identity;
  #rotation: RotatingIdentity | undefined;
  #renewing: Promise<void> | undefined;

  private constructor(parts: {
    readonly settings: ProviderSettings;
    readonly ca: CertificateAuthority;
    readonly identity: Identity;
    readonly anchors: BundleSource & Partial<Changes & { stop(): void }>;
    readonly clock: Clock;
    readonly log: Log;
    readonly meter: Meter;
  }) {
    this.settings = parts.settings;
    this.ca = parts.ca;
    this.#identity = parts.identity;
    this.#anchors = parts.anchors;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#meter = parts.meter;
    this.#changes = new ChangeSignal((thrown) => {
      parts.log.error({ err: thrown }, 'a listener to the identity failed');
    });
    parts.anchors.onChange?.(() => this.#changes.notify());
  }

  /**
   * Opens or makes the authority, issues the first certificate and writes the trust bundle.
   *
   * @throws CountersignError ERR_PROVIDER_OPTIONS, ERR_PROVIDER_CA, ERR_SPIFFE_TRUST_DOMAIN
   */
  static async create(
    options: MtlsProviderOptions | Readonly<Record<string, unknown>> = {},
    surroundings: ProviderSurroundings = {},
  ): Promise<MtlsProvider> {
    const { clock = systemClock, log = noLog, meter = noMeter } = surroundings;
    const settings = readProviderOptions({ ...options });
    const ca = surroundings.ca ?? (await authorityOf(settings, clock));
    const identity = await ca.issue({ ...settings, ttlSecs: settings.certTtlSecs });
    const anchors = await anchorsOf(settings, ca, { clock, log });
    return new MtlsProvider({ settings, ca, identity, anchors, clock, log, meter });
  }

  get spiffeId(): string {
    return this.svid().spiffeId.toString();
  }

  svid(): X509Svid {
    return this.#rotation?.svid() ?? this.#identity.svid;
  }

  bundle(trustDomain: string): TrustBundle | undefined {
    return this.#anchors.bundle(trustDomain);
  }

  authorities() {
    return this.#anchors.authorities?.() ?? [];
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /**
   * Renews at half of the lifetime, at once where it has expired, for as long as the provider is open. It looks at
   * least every 30 s, so that a machine that slept is noticed. Requests in flight end on the certificate that they
   * began with, new ones get the fresh one. A failed renewal is tried again, and the identity there is stays.
   *
   * @returns the function that ends it
   */
  startRotation(): () => Promise<void> {
    this.#rotation ??= this.#rotate();
    const rotation = this.#rotation;
    return () => rotation.stop();
  }

  /** Renews now. */
  async renewNow(): Promise<void> {
    if (this.#rotation !== undefined) return await this.#rotation.renewNow();
    this.#renewing ??= this.#renewOnce().finally(() => {
      this.#renewing = undefined;
    });
    await this.#renewing;
  }

  status(): MtlsStatus {
    const { enabled, trustDomain } = this.settings;
    const { spiffeId, serialHex, leaf } = this.svid();
    const now = this.#clock.now();
    // RFC 5280 §4.1.2.5: the last second of validity is included.
    const endsAt = leaf.notAfter + 1000;
    return {
      enabled,
      trustDomain,
      spiffeId: spiffeId.toString(),
      certSerial: serialHex,
      certValid: leaf.notBefore <= now && now < endsAt,
      remainingSecs: Math.max(0, Math.floor((leaf.notAfter - now) / 1000)),
      needsRenewal: now >= leaf.notBefore + (leaf.notAfter - leaf.notBefore) / 2,
    };
  }

  /**
   * A client like `fetch`, whose every connection presents the certificate of that moment and checks who answers. With
   * `enabled: false` it is a plain one, which is logged.
   *
   * @throws CountersignError ERR_PROVIDER_FALLBACK in production with `allowFallback`
   */
  buildClient(options: Omit<ClientOptions, 'provider'> = {}): MtlsClient {
    const client = openMtlsClient({
      ...{ provider: this, settings: this.settings, clock: this.#clock },
      ...{ log: this.#log, meter: this.#meter },
      ...options,
    });
    this.#clients.add(client);
    return client;
  }

  /** Ends rotation and clients; requests in flight may finish. */
  async close(): Promise<void> {
    this.#anchors.stop?.();
    await this.#rotation?.stop();
    await Promise.all([...this.#clients].map((client) => client.close()));
  }

  #rotate(): RotatingIdentity {
    const { certTtlSecs } = this.settings;
    const renew: Parameters<typeof startRotation>[0]['renew'] = ({ current, csr }) =>
      this.ca.renew(current, csr, certTtlSecs);
    const rotation = startRotation({
      identity: this.#identity,
      ...{ renew, reEnrol: renew, jitter: 0 },
      ...{ clock: this.#clock, log: this.#log, meter: this.#meter },
      onSwap: () => this.#changes.notify(),
    });
    return rotation;
  }

  async #renewOnce(): Promise<void> {
    const { certTtlSecs } = this.settings;
    this.#identity = await this.ca.issue({ ...this.settings, ttlSecs: certTtlSecs });
    this.#changes.notify();
  }
}

async function authorityOf(
  { trustDomain, caCertPath, caKeyPath }: ProviderSettings,
  clock: Clock,
): Promise<CertificateAuthority> {
  if (caCertPath === undefined || caKeyPath === undefined) {
    return await CertificateAuthority.ephemeral({ trustDomain, clock });
  }
  return await CertificateAuthority.fromFiles({ trustDomain, caCertPath, caKeyPath, clock });
}

async function anchorsOf(
  { trustBundlePath }: ProviderSettings,
  ca: CertificateAuthority,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<BundleSource & Partial<Changes & { stop(): void }>> {
  const own = ca.bundle();
  if (trustBundlePath !== undefined) {
    await ca.exportTrustBundle(trustBundlePath);
    return await BundleFile.follow({ path: trustBundlePath, own, clock, log });
  }
  return {
    bundle: (trustDomain) => (trustDomain === own.trustDomain ? own : undefined),
    authorities: () => own.authorities,
  };
}
