import { getCACertificates, rootCertificates } from 'node:tls';
import { type Clock, CountersignError, type Log, messageOf } from '@countersign/base';
import { Agent, request } from 'undici';
import { type KeySource, readKeySet, type VerifyingKey } from './key-set.ts';

export interface RemoteKeySetOptions {
  readonly url: string;
  /** PEM of who vouches for that server; the system's roots and Node's unless given. */
  readonly ca: string | undefined;
  readonly refreshMs: number;
  /** How long keys are used that could not be fetched again. */
  readonly maxStaleMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

const maxBytes = 262_144;
const timeoutMs = 10_000;
/** Between two fetches that tokens with unknown keys bring about, whoever sends them. */
const minGapMs = 30_000;
const minBackoffMs = 1000;

/**
 * A JWKS by HTTPS, fetched again and again, sooner when a token has a key that is not in it. What is fetched is proved to
 * be a key set before it replaces the one in use; that one is used as long as it may be stale, and then no key is.
 */
export class RemoteKeySet implements KeySource {
  readonly #options: RemoteKeySetOptions;
  readonly #stop = new AbortController();
  #agent: Agent | undefined;
  #keys: readonly VerifyingKey[] = [];
  #fetchedAt: number | undefined;
  #triedAt = Number.NEGATIVE_INFINITY;
  #fetching: Promise<boolean> | undefined;

  private constructor(options: RemoteKeySetOptions) {
    this.#options = options;
  }

  /** Fetches it once, and starts without keys where that fails: an issuer that is away keeps no router from starting. */
  static async open(options: RemoteKeySetOptions): Promise<RemoteKeySet> {
    const set = new RemoteKeySet(options);
    const isThere = await set.#fetch();
    void set.#refresh(isThere);
    return set;
  }

  keys(): readonly VerifyingKey[] {
    const { clock, maxStaleMs } = this.#options;
    if (this.#fetchedAt === undefined) return [];
    return clock.now() - this.#fetchedAt > maxStaleMs ? [] : this.#keys;
  }

  async lookAgain(): Promise<boolean> {
    if (this.#fetching !== undefined) return await this.#fetching;
    if (this.#options.clock.monotonic() - this.#triedAt < minGapMs) return false;
    return await this.#fetch();
  }

  stop(): void {
    this.#stop.abort();
    void this.#agent?.destroy();
  }

  async #refresh(isThere: boolean): Promise<void> {
    const { clock, refreshMs } = this.#options;
    const { signal } = this.#stop;
    let wait = isThere ? refreshMs : minBackoffMs;
    while (!signal.aborted) {
      await clock.sleep(wait, { signal, ref: false }).catch(() => {});
      if (signal.aborted) return;
      const isFresh = await this.#fetch();
      wait = isFresh ? refreshMs : Math.min(wait < refreshMs ? wait * 2 : minBackoffMs, refreshMs);
    }
  }

  #fetch(): Promise<boolean> {
    this.#fetching ??= this.#fetchOnce().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetchOnce(): Promise<boolean> {
    const { url, clock, log } = this.#options;
    this.#triedAt = clock.monotonic();
    try {
      const keys = readKeySet(await this.#download());
      this.#keys = keys;
      this.#fetchedAt = clock.now();
      log.debug({ url, keys: keys.length }, 'key set fetched');
      return true;
    } catch (thrown) {
      if (this.#stop.signal.aborted) return false;
      const age = this.#fetchedAt === undefined ? undefined : clock.now() - this.#fetchedAt;
      const reason = messageOf((thrown as { cause?: unknown }).cause ?? thrown);
      const then = this.keys().length > 0 ? 'the old one is used' : 'no token verifies';
      log.warn({ url, reason, ageMs: age }, `key set could not be fetched, ${then}`);
      return false;
    }
  }

  async #download(): Promise<string> {
    const { url, ca } = this.#options;
    this.#agent ??= new Agent({
      connections: 1,
      connect: { ca: ca ?? [...rootCertificates, ...getCACertificates('system')] },
    });
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(timeoutMs)]);
    const { statusCode, body } = await request(url, {
      dispatcher: this.#agent,
      headers: { accept: 'application/jwk-set+json, application/json' },
      signal,
    });
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw failed(`answer of more than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    // RFC 9110 §15.4: a redirect is not followed, the keys are of the URL that was configured.
    if (statusCode !== 200) throw failed(`answered ${statusCode}`);
    return Buffer.concat(chunks).toString('utf8');
  }
}

function failed(reason: string): CountersignError {
  return new CountersignError('ERR_ROUTER_JWKS', reason);
}
