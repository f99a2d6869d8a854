import {
  type Clock,
  type Counter,
  CountersignError,
  errorOfDenial,
  type Gauge,
  type Log,
  type Meter,
  messageOf,
} from '@countersign/base';
import {
  ChangeSignal,
  type Changes,
  makeSvid,
  type SvidSource,
  staticBundles,
  verifyPeer,
  type X509Svid,
} from '@countersign/spiffe';
import {
  buildCertificateRequest,
  fingerprintOf,
  generateKeyPair,
  keySigner,
} from '@countersign/x509';
import type { Authority } from '../authority.ts';

export interface OwnIdentityOptions {
  readonly authority: Authority;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

const firstRetryMs = 1000;
const longestRetryMs = 60_000;

/**
 * The authority's own TLS identity: issued by itself through the ordinary flow, renewed at half its lifetime while it
 * serves. A new one is proved before it replaces the old; a failure keeps the old and is tried again.
 */
export class OwnIdentity implements SvidSource, Changes {
  readonly #options: OwnIdentityOptions;
  readonly #changes: ChangeSignal;
  readonly #stopped = new AbortController();
  readonly #renewals: Counter;
  readonly #notAfter: Gauge;
  #current: X509Svid;
  #isDue = false;
  #finding: string | undefined;
  #isAsked = false;
  #isLooking = false;
  #wake = new AbortController();

  private constructor(options: OwnIdentityOptions, first: X509Svid) {
    const { meter, log } = options;
    this.#options = options;
    this.#current = first;
    this.#changes = new ChangeSignal((thrown) => {
      log.error({ error: messageOf(thrown) }, 'a listener of the own identity failed');
    });
    this.#renewals = meter.counter({
      name: 'countersign_renewals_total',
      help: 'Renewals of the own certificate, by result.',
      labels: ['result'],
    });
    this.#notAfter = meter.gauge({
      name: 'countersign_certificate_not_after_seconds',
      help: 'When a certificate ends, in seconds since the Unix epoch.',
      labels: ['certificate'],
    });
    this.#tellNotAfter();
  }

  /** @throws CountersignError where the first certificate is refused: then there is nothing to serve with */
  static async start(options: OwnIdentityOptions): Promise<OwnIdentity> {
    const identity = new OwnIdentity(options, await issueProved(options));
    await identity.#look();
    void identity.#rotate();
    return identity;
  }

  svid(): X509Svid {
    return this.#current;
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /** The next renewal is due now: the chain of the present one is not the one in force any more. */
  renewSoon(): void {
    this.#isDue = true;
    this.#wake.abort();
  }

  /** Why whoever checks refuses what it serves with, where nothing can be done about it here. */
  get finding(): string | undefined {
    return this.#finding;
  }

  /**
   * After a revocation: where it covers what is served with, that is renewed under what is left. Never rejects. What comes
   * while it looks is looked at together.
   */
  async recheck(): Promise<void> {
    this.#isAsked = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    while (this.#isAsked && !this.#stopped.signal.aborted) {
      this.#isAsked = false;
      if (await this.#look()) this.renewSoon();
    }
    this.#isLooking = false;
  }

  /** @returns whether another certificate can be had in the place of one that is revoked */
  async #look(): Promise<boolean> {
    const { authority, log } = this.#options;
    const { chain } = this.#current;
    try {
      const { revoked, canRenew } = await authority.judgeOwn(chain);
      if (revoked !== undefined && canRenew) return true;
      const name = authority
        .intermediates()
        .find(
          ({ fingerprint }) => revoked !== undefined && fingerprint === fingerprintOf(revoked),
        )?.name;
      const finding = revoked && hangingOn(name ?? revoked.serialHex, name);
      if (finding !== undefined && finding !== this.#finding) log.error({}, finding);
      this.#finding = finding;
    } catch (thrown) {
      log.warn({ error: messageOf(thrown) }, 'own certificate not held against revocations');
    }
    return false;
  }

  stop(): void {
    this.#stopped.abort();
  }

  async #rotate(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#stopped;
    let retryMs = firstRetryMs;
    let waitMs = this.#halfLifeMs();
    while (!signal.aborted) {
      const awake = AbortSignal.any([signal, this.#wake.signal]);
      if (!this.#isDue) await clock.sleep(waitMs, { signal: awake, ref: false }).catch(() => {});
      if (signal.aborted) return;
      this.#isDue = false;
      this.#wake = new AbortController();
      try {
        this.#current = await issueProved(this.#options);
        this.#renewals.add(1, { result: 'renewed' });
        // Whatever is left may have signed it although it is revoked itself, where nothing else is.
        await this.#look();
        this.#tellNotAfter();
        this.#changes.notify();
        retryMs = firstRetryMs;
        waitMs = this.#halfLifeMs();
      } catch (thrown) {
        this.#renewals.add(1, { result: 'failed' });
        const code = thrown instanceof CountersignError ? thrown.code : undefined;
        log.error(
          { code, error: messageOf(thrown), retryMs, notAfter: this.#current.notAfter },
          'own certificate was not renewed, the old one is kept',
        );
        waitMs = retryMs;
        retryMs = Math.min(retryMs * 2, longestRetryMs);
      }
    }
  }

  #halfLifeMs(): number {
    const { notAfter, leaf } = this.#current;
    const half = notAfter - (notAfter - leaf.notBefore) / 2;
    return Math.max(firstRetryMs, half - this.#options.clock.now());
  }

  #tellNotAfter(): void {
    this.#notAfter.set(this.#current.notAfter / 1000, { certificate: 'authority' });
  }
}

function hangingOn(what: string, name = 'NAME'): string {
  const way = `countersign root prepare --intermediate ${name}, then root activate`;
  const wrong = 'which is revoked, and no other intermediate can sign one';
  return `own TLS certificate hangs on "${what}", ${wrong}: ${way}`;
}

async function issueProved(options: OwnIdentityOptions): Promise<X509Svid> {
  const { authority, clock, dns, ip, ttlMs } = options;
  const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
  const csr = await buildCertificateRequest({ signer: keySigner(privateKey) });
  const issued = await authority.issueOwn({ csr, dns, ip, ttlMs });
  if (!issued.ok) throw errorOfDenial(issued, 'issue the own TLS certificate');
  const svid = makeSvid(issued.chain, privateKey);
  const verified = verifyPeer({
    chain: svid.chain,
    bundles: staticBundles(authority.bundle()),
    at: clock.now(),
    purpose: 'server',
  });
  if (!verified.ok) throw errorOfDenial(verified, 'prove the own TLS certificate');
  return svid;
}
