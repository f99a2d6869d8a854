import type { TokenKeys, TokenRule } from '@countersign/authz';
import { type Clock, CountersignError, type Log, messageOf } from '@countersign/base';
import { keysOfJwks, type VerifyingKey } from '@countersign/spiffe';
import { Agent, type Dispatcher, request } from 'undici';

/** Asked for again after that long, as Istio does; the old ones are used meanwhile. */
const staleMs = 20 * 60_000;
/** At the soonest, where a token names a key that is not there, or the last answer was none. */
const soonestMs = 10_000;
/** Old keys go on being used so long where none can be had. */
const longestMs = 24 * 3_600_000;
const maxBytes = 512 * 1024;

interface KeySet {
  readonly keys: readonly VerifyingKey[];
  readonly at: number;
}

interface Address {
  known: KeySet | undefined;
  failed: { readonly thrown: unknown; readonly at: number } | undefined;
  underWay: Promise<KeySet> | undefined;
}

export interface RemoteKeysOptions {
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The keys of token rules: those that are written, and those of addresses, which are the operator's word. Bounded in time
 * and size, without redirects; one request at a time to each, however many tokens wait for it.
 */
export class RemoteKeys implements TokenKeys {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #agent: Dispatcher = new Agent({ connections: 2, pipelining: 1 });
  readonly #addresses = new Map<string, Address>();
  readonly #written = new WeakMap<object, readonly VerifyingKey[]>();

  constructor({ clock, log }: RemoteKeysOptions) {
    this.#clock = clock;
    this.#log = log;
  }

  /**
   * Forgets addresses that no rule names, and asks those that are new, so that the first token need not wait.
   *
   * @throws CountersignError ERR_JWT_KEYS where written ones verify nothing
   */
  prepare(rules: readonly TokenRule[]): void {
    for (const rule of rules) if (rule.keys.kind === 'local') this.keysOf(rule, false);
    const named = new Set(rules.map(addressOf));
    for (const address of this.#addresses.keys()) {
      if (!named.has(address)) this.#addresses.delete(address);
    }
    for (const rule of rules) {
      const address = addressOf(rule);
      if (address === undefined || this.#addresses.has(address)) continue;
      void this.#ask(address, rule).catch((thrown) => {
        const reason = messageOf(thrown);
        this.#log.warn({ issuer: rule.issuer, reason }, 'keys of an issuer cannot be had yet');
      });
    }
  }

  /** @throws CountersignError ERR_JWT_KEYS */
  keysOf(
    rule: TokenRule,
    isMissing: boolean,
  ): readonly VerifyingKey[] | Promise<readonly VerifyingKey[]> {
    const { keys } = rule;
    if (keys.kind !== 'local') return this.#remoteKeysOf(addressOf(rule) ?? '', rule, isMissing);
    const before = this.#written.get(keys);
    if (before !== undefined) return before;
    const read = keysOfJwks(JSON.stringify({ keys: keys.keys }));
    this.#written.set(keys, read);
    return read;
  }

  destroy(): Promise<void> {
    return this.#agent.destroy();
  }

  #remoteKeysOf(address: string, rule: TokenRule, isMissing: boolean) {
    const known = this.#addresses.get(address)?.known;
    const age = known === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() - known.at;
    if (known === undefined || age >= longestMs) {
      return this.#ask(address, rule).then(({ keys }) => keys);
    }
    if (isMissing && age >= soonestMs) {
      return this.#ask(address, rule).then(
        ({ keys }) => keys,
        () => known.keys,
      );
    }
    if (age >= staleMs) this.#refresh(address, rule);
    return known.keys;
  }

  #refresh(address: string, rule: TokenRule): void {
    this.#ask(address, rule).catch((thrown) => {
      const line = { issuer: rule.issuer, reason: messageOf(thrown) };
      this.#log.debug(line, 'keys of an issuer cannot be had again, the old ones are used');
    });
  }

  async #ask(address: string, rule: TokenRule): Promise<KeySet> {
    const at = this.#addresses.get(address) ?? {
      known: undefined,
      failed: undefined,
      underWay: undefined,
    };
    this.#addresses.set(address, at);
    if (at.failed !== undefined && this.#clock.now() - at.failed.at < soonestMs) {
      throw at.failed.thrown;
    }
    const asking = at.underWay ?? this.#fetch(rule);
    at.underWay = asking;
    try {
      at.known = await asking;
      at.failed = undefined;
      return at.known;
    } catch (thrown) {
      at.failed = { thrown, at: this.#clock.now() };
      throw thrown;
    } finally {
      at.underWay = undefined;
    }
  }

  async #fetch({ issuer, keys }: TokenRule): Promise<KeySet> {
    const timeoutMs = keys.kind === 'uri' ? keys.timeoutMs : 5000;
    const url = keys.kind === 'uri' ? keys.uri : await this.#discover(issuer, timeoutMs);
    const text = await this.#get(url, timeoutMs);
    return { keys: keysOfJwks(text), at: this.#clock.now() };
  }

  // OpenID Connect Discovery 1.0 §4.3: the document must be of the very issuer that was asked.
  async #discover(issuer: string, timeoutMs: number): Promise<string> {
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const document = readJson(await this.#get(url, timeoutMs), url);
    if (document.issuer !== issuer) {
      const found = String(document.issuer).slice(0, 200);
      throw unusable(url, `is of issuer "${found}", expected "${issuer}"`);
    }
    if (typeof document.jwks_uri === 'string') return document.jwks_uri;
    throw unusable(url, 'has no "jwks_uri"');
  }

  async #get(url: string, timeoutMs: number): Promise<string> {
    if (!/^https?:\/\//.test(url)) throw unusable(url, 'is no address of http:// or https://');
    try {
      const { statusCode, body } = await request(url, {
        dispatcher: this.#agent,
        headers: { accept: 'application/json' },
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        signal: AbortSignal.timeout(timeoutMs),
      });
      const text = await textOf(body);
      if (statusCode === 200) return text;
      throw unusable(url, `answered ${statusCode}, expected 200`);
    } catch (thrown) {
      if (thrown instanceof CountersignError) throw thrown;
      throw unusable(url, `cannot be asked: ${messageOf(thrown)}`, thrown);
    }
  }
}

/** What has the keys of a rule; undefined where they are written. */
function addressOf({ issuer, keys }: TokenRule): string | undefined {
  if (keys.kind === 'local') return undefined;
  return keys.kind === 'uri' ? keys.uri : `issuer ${issuer}`;
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body) {
    length += part.byteLength;
    if (length > maxBytes) throw new Error(`more than ${maxBytes} octets`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function readJson(text: string, url: string): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text));
  } catch (thrown) {
    throw unusable(url, 'answered no JSON', thrown);
  }
}

function unusable(url: string, why: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_JWT_KEYS', `"${url.slice(0, 200)}" ${why}`, { cause });
}
