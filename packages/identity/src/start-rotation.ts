import { randomInt } from 'node:crypto';
import {
  type Clock,
  type Counter,
  CountersignError,
  type ErrorCode,
  type Gauge,
  type Log,
  type Meter,
  messageOf,
} from '@countersign/base';
import {
  type BundleSource,
  ChangeSignal,
  type Changes,
  type SvidSource,
  sameAuthorities,
  type TrustBundle,
  type X509Svid,
} from '@countersign/spiffe';
import { retryAfterOfError } from '@countersign/wire';
import type { Certificate } from '@countersign/x509';
import { BundleFollower } from './follow-bundle.ts';
import { RenewalWishFollower } from './follow-renewal-wish.ts';
import type { Identity } from './identity.ts';
import { readIdentity, writeIdentity } from './identity-files.ts';
import { proveIdentity } from './prove-issued.ts';
import { renewOnce } from './renew-once.ts';
import type { Renew } from './renewal.ts';
import {
  type BackoffRange,
  leastWaitMs,
  renewalTime,
  retryWaitMs,
  turnWaitMs,
} from './rotation-schedule.ts';

export interface RotationOptions {
  readonly identity: Identity;
  /** When it was obtained, where that is known: authorities set notBefore back, which counts otherwise. */
  readonly obtainedAt?: number;
  readonly renew: Renew;
  /**
   * Asked instead of `renew` once the certificate has expired, since an authority renews no expired one over mTLS: such
   * as an authority in this process. Without it, `renew` is tried all the same, and the error says what to do.
   */
  readonly reEnrol?: Renew;
  /**
   * Where the identity's files are: written before each swap, and looked at before each renewal, so that what somebody
   * else renewed or enrolled there is taken over. Absent: memory alone.
   */
  readonly directory?: string;
  /** Of the lifetime, after which it is renewed. Above 0, below 1; default 0.5. */
  readonly fraction?: number;
  /** Of the lifetime, by up to which it is renewed earlier. 0 up to `fraction`; default a tenth. */
  readonly jitter?: number;
  readonly backoff?: BackoffRange;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** Told after each swap, before the listeners. What it throws is logged. */
  readonly onSwap?: (identity: Identity) => void | Promise<void>;
  readonly signal?: AbortSignal;
  /** From 0 to below 1, for jitter. */
  readonly random?: () => number;
}

export interface RotationStats {
  readonly renewals: number;
  /** Attempts that failed, ever. */
  readonly failures: number;
  /** Of the newest failure, unless something succeeded since. */
  readonly lastError:
    | { readonly code: ErrorCode; readonly message: string; readonly at: number }
    | undefined;
  readonly notAfter: number;
  /** Undefined while an attempt is under way, and once stopped. */
  readonly nextRenewalAt: number | undefined;
  /** Where whoever signs gave a longer lifetime than was asked for: both, as text. */
  readonly longerThanAsked?: string;
}

export interface RotatingIdentity extends SvidSource, BundleSource, Changes {
  readonly identity: Identity;
  stats(): RotationStats;
  /** Renews now, or joins the attempt under way. Rejects with why it failed; the schedule goes on either way. */
  renewNow(): Promise<void>;
  /** Ends the schedule; an attempt under way is given up. The identity stays usable. */
  stop(): Promise<void>;
}

/**
 * Keeps an identity fresh for as long as the process lives. Starts at once: an identity that is due, or has expired, is
 * renewed immediately. A failure never removes the identity there is.
 *
 * @throws CountersignError ERR_USAGE for a fraction or jitter out of range
 */
export function startRotation(options: RotationOptions): RotatingIdentity {
  return new Rotation(options);
}

/** Sleeps are cut into pieces, so that a machine that slept, or a clock that was set, is noticed soon. */
const longestNapMs = 30_000;

class Rotation implements RotatingIdentity {
  readonly #options: RotationOptions;
  readonly #schedule: { readonly fraction: number; readonly jitter: number };
  readonly #backoff: BackoffRange;
  readonly #random: () => number;
  readonly #changes: ChangeSignal;
  readonly #stopping = new AbortController();
  readonly #results: Counter;
  readonly #notAfter: Gauge;
  readonly #done: Promise<unknown>;
  readonly #follower: BundleFollower | undefined;
  readonly #wishes: RenewalWishFollower | undefined;
  #identity: Identity;
  #attempt: Promise<void> | undefined;
  #nextRenewalAt: number | undefined;
  #renewals = 0;
  #failures = 0;
  #failuresInRow = 0;
  #lastError: RotationStats['lastError'];

  constructor(options: RotationOptions) {
    this.#options = options;
    this.#identity = options.identity;
    this.#schedule = checkSchedule(options);
    this.#backoff = options.backoff ?? { minMs: 1000, maxMs: 300_000 };
    this.#random = options.random ?? cryptoRandom;
    this.#changes = new ChangeSignal((thrown) => {
      options.log.error({ err: thrown }, 'a listener to the identity failed');
    });
    this.#results = options.meter.counter(metrics.renewals);
    this.#notAfter = options.meter.gauge(metrics.notAfter);
    this.#showNotAfter();
    const { svid } = options.identity;
    this.#plan(options.obtainedAt ?? svid.leaf.notBefore);
    const { fetchBundle } = options.renew;
    this.#follower =
      fetchBundle === undefined
        ? undefined
        : new BundleFollower({
            fetch: fetchBundle,
            current: () => this.#identity,
            adopt: (bundle) => this.#adopt(bundle),
            clock: options.clock,
            log: options.log,
            random: this.#random,
          });
    const { renewalWish } = options.renew;
    this.#wishes =
      renewalWish === undefined
        ? undefined
        : new RenewalWishFollower({
            ask: renewalWish,
            current: () => this.#identity,
            planAt: (at) => this.#planAt(at),
            clock: options.clock,
            log: options.log,
          });
    const { signal } = this.#stopping;
    this.#done = Promise.all([
      this.#run(signal),
      this.#follower?.run(signal),
      this.#wishes?.run(signal),
    ]);
    options.signal?.addEventListener('abort', () => void this.stop(), { once: true });
    if (options.signal?.aborted === true) void this.stop();
  }

  get identity(): Identity {
    return this.#identity;
  }

  svid(): X509Svid {
    return this.#identity.svid;
  }

  bundle(trustDomain: string): TrustBundle | undefined {
    const { bundle } = this.#identity;
    return bundle.trustDomain === trustDomain ? bundle : undefined;
  }

  authorities(): readonly Certificate[] {
    return this.#identity.bundle.authorities;
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  stats(): RotationStats {
    return {
      renewals: this.#renewals,
      failures: this.#failures,
      lastError: this.#lastError,
      notAfter: this.#identity.svid.notAfter,
      nextRenewalAt: this.#nextRenewalAt,
    };
  }

  renewNow(): Promise<void> {
    this.#attempt ??= this.#renew().finally(() => {
      this.#attempt = undefined;
    });
    return this.#attempt;
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new CountersignError('ERR_IDENTITY_STOPPED', 'rotation was stopped'));
    await this.#done;
    await this.#attempt?.catch(() => {});
    this.#nextRenewalAt = undefined;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const dueAt = this.#nextRenewalAt ?? this.#options.clock.now();
      const leftMs = dueAt - this.#options.clock.now();
      if (leftMs > 0) {
        const napMs = Math.min(leftMs, longestNapMs);
        await this.#options.clock.sleep(napMs, { signal, ref: false }).catch(() => {});
        continue;
      }
      await this.renewNow().catch(() => {});
    }
  }

  async #renew(): Promise<void> {
    this.#nextRenewalAt = undefined;
    try {
      const { signal } = this.#stopping;
      signal.throwIfAborted();
      // 1. somebody else's renewal, or our own
      const fresh = (await this.#takeOver()) ?? (await this.#obtain(signal));
      // 2. swap: on disk, then in memory, in one turn; whoever asks from now on gets the new one
      if (!fresh.isOnDisk) await this.#write(fresh.identity);
      this.#swap(fresh.identity);
    } catch (thrown) {
      this.#failed(thrown);
      throw thrown;
    }
    // 3. those who hold on to what they were given, and the authority, which is to know the bundle that is held
    await this.#tell();
    this.#follower?.lookSoon();
    this.#wishes?.askSoon();
  }

  /**
   * Another process's later identity of the same name from our files, proved. It may last shorter than ours: such as
   * one that was enrolled anew after ours was revoked.
   */
  async #takeOver(): Promise<Fresh | undefined> {
    const { directory, clock } = this.#options;
    if (directory === undefined) return undefined;
    const found = await readIdentity(directory).catch(() => undefined);
    const { svid } = this.#identity;
    if (found === undefined || found.svid.serialHex === svid.serialHex) return undefined;
    if (!isLater(found.svid, svid) || !found.svid.spiffeId.equals(svid.spiffeId)) return undefined;
    return proveIdentity(found, clock.now()).ok ? { identity: found, isOnDisk: true } : undefined;
  }

  async #obtain(signal: AbortSignal): Promise<Fresh> {
    const { renew, reEnrol, clock } = this.#options;
    const current = this.#identity;
    const isExpired = clock.now() > current.svid.notAfter;
    const asked = isExpired && reEnrol !== undefined ? reEnrol : renew;
    const identity = await renewOnce({ current, renew: asked, clock, signal });
    return { identity: withNewerBundle(identity, current, clock.now()), isOnDisk: false };
  }

  /** A full disk must not let a working service expire: the new identity is then used from memory, and it is told. */
  async #write(identity: Identity): Promise<void> {
    const { directory, log } = this.#options;
    if (directory === undefined) return;
    await writeIdentity(directory, identity).catch((thrown: unknown) => {
      log.error({ err: thrown, directory }, `renewed in memory alone: ${messageOf(thrown)}`);
    });
  }

  #swap(identity: Identity): void {
    const { clock, log } = this.#options;
    const { svid } = identity;
    this.#identity = identity;
    this.#renewals += 1;
    this.#failuresInRow = 0;
    this.#lastError = undefined;
    this.#results.add(1, { result: 'renewed' });
    this.#showNotAfter();
    this.#plan(clock.now());
    const { serialHex: serial, notAfter } = svid;
    log.info({ spiffeId: `${svid.spiffeId}`, serial, notAfter }, 'identity renewed');
  }

  /** A newer trust bundle, between renewals. Where the own chain leads nowhere under it, a renewal brings both. */
  async #adopt(bundle: TrustBundle): Promise<boolean> {
    const { clock, log } = this.#options;
    const before = this.#identity;
    const identity = { ...before, bundle };
    const proof = proveIdentity(identity, Math.min(clock.now(), before.svid.notAfter));
    if (!proof.ok) {
      log.warn({ code: proof.code }, `own chain under the new trust bundle: ${proof.detail}`);
      await this.renewNow();
      return true;
    }
    const isOther = !sameAuthorities(bundle, before.bundle);
    if (isOther) await this.#write(identity);
    if (this.#identity !== before) return true;
    this.#identity = identity;
    if (!isOther) return false;
    const { sequence, authorities } = bundle;
    log.info({ sequence, authorities: authorities.length }, 'trust bundle taken over');
    await this.#tell();
    return true;
  }

  async #tell(): Promise<void> {
    const { onSwap, log } = this.#options;
    try {
      await onSwap?.(this.#identity);
    } catch (thrown) {
      log.error({ err: thrown }, `after the renewal: ${messageOf(thrown)}`);
    }
    this.#changes.notify();
  }

  #failed(thrown: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const { clock, log } = this.#options;
    const now = clock.now();
    const code = thrown instanceof CountersignError ? thrown.code : 'ERR_INTERNAL';
    const message = messageOf(thrown);
    this.#failures += 1;
    this.#failuresInRow += 1;
    this.#lastError = { code, message, at: now };
    this.#results.add(1, { result: 'failed' });
    const leftMs = this.#identity.svid.notAfter - now;
    const toldMs = retryAfterOfError(thrown);
    const waitMs =
      toldMs === undefined
        ? retryWaitMs(this.#failuresInRow, leftMs, this.#backoff, this.#random)
        : turnWaitMs(toldMs, leftMs, this.#random);
    this.#nextRenewalAt = now + waitMs;
    const level = leftMs > 0 ? 'warn' : 'error';
    log[level]({ err: thrown, code, leftMs, waitMs }, `renewal failed: ${message}`);
  }

  /** @param from when the identity was obtained, or its notBefore: the authority may have set that back */
  #plan(from: number): void {
    const { clock } = this.#options;
    const { notAfter } = this.#identity.svid;
    const at = renewalTime({ from, notAfter }, this.#schedule, this.#random);
    this.#nextRenewalAt = this.#renewals === 0 ? at : Math.max(at, clock.now() + leastWaitMs);
  }

  /** As whoever signs wishes, but never so late that a failure could not be made good. */
  #planAt(at: number): void {
    if (this.#nextRenewalAt === undefined || this.#failuresInRow > 0) return;
    const { leaf, notAfter } = this.#identity.svid;
    const latest = notAfter - (notAfter - leaf.notBefore) / 10;
    this.#nextRenewalAt = Math.min(at, latest);
  }

  #showNotAfter(): void {
    const { svid } = this.#identity;
    this.#notAfter.set(svid.notAfter / 1000, { certificate: svid.spiffeId.toString() });
  }
}

/** A replica of the authority may be behind by a second: the newer bundle stays. */
function withNewerBundle(fresh: Identity, held: Identity, at: number): Identity {
  if ((fresh.bundle.sequence ?? 0) >= (held.bundle.sequence ?? 0)) return fresh;
  const kept = { ...fresh, bundle: held.bundle };
  return proveIdentity(kept, at).ok ? kept : fresh;
}

function isLater(a: X509Svid, b: X509Svid): boolean {
  return (a.leaf.notBefore - b.leaf.notBefore || a.notAfter - b.notAfter) > 0;
}

interface Fresh {
  readonly identity: Identity;
  readonly isOnDisk: boolean;
}

const metrics = {
  renewals: {
    name: 'countersign_renewals_total',
    help: 'Renewals of the own certificate, by result.',
    labels: ['result'],
  },
  notAfter: {
    name: 'countersign_certificate_not_after_seconds',
    help: 'When a certificate ends, in seconds since the Unix epoch.',
    labels: ['certificate'],
  },
} as const;

function checkSchedule(options: RotationOptions): { fraction: number; jitter: number } {
  const { fraction = 0.5 } = options;
  if (!(fraction > 0 && fraction < 1)) {
    throw new CountersignError(
      'ERR_USAGE',
      `renewal at ${fraction} of the lifetime, expected 0 to 1`,
    );
  }
  const { jitter = Math.min(0.1, fraction / 2) } = options;
  if (!(jitter >= 0 && jitter <= fraction)) {
    const sides = `renewal jitter of ${jitter} of the lifetime, expected 0 to ${fraction}`;
    throw new CountersignError('ERR_USAGE', sides);
  }
  return { fraction, jitter };
}

function cryptoRandom(): number {
  return randomInt(2 ** 32) / 2 ** 32;
}
