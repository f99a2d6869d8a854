import { type Clock, CountersignError } from '@countersign/base';
import { keysOfJwks, type VerifyingKey } from '@countersign/spiffe';
import { GuardedRequests } from './guarded-request.ts';

export interface KeySetPlace {
  /** Where the JWKS is; or the issuer, by whose discovery document it is found. */
  readonly jwksUrl: string | undefined;
  readonly issuer: string | undefined;
  /** Roots in PEM, instead of the machine's. */
  readonly ca: string | undefined;
}

interface Fetched {
  readonly keys: readonly VerifyingKey[];
  readonly at: number;
}

/** Keys are asked for again after that long; where a token names another, after {@link soonestMs} already. */
const staleMs = 5 * 60_000;
const soonestMs = 10_000;
/** Keys go on being used so long where they cannot be had again. */
const longestMs = 24 * 3_600_000;
const mostSets = 100;

/** Keys that tokens of other issuers are verified with, by address: OIDC Discovery 1.0 §4, RFC 7517. */
export class KeySets {
  readonly requests: GuardedRequests;
  readonly #clock: Clock;
  readonly #sets = new Map<string, Fetched>();
  readonly #failed = new Map<string, { readonly thrown: unknown; readonly at: number }>();
  readonly #underWay = new Map<string, Promise<Fetched>>();

  constructor({ allow, clock }: { readonly allow: readonly string[]; readonly clock: Clock }) {
    this.requests = new GuardedRequests(allow);
    this.#clock = clock;
  }

  /** @param isMissing a token names a key that the last answer did not have @throws CountersignError ERR_JWT_KEYS */
  async keysOf(place: KeySetPlace, isMissing = false): Promise<readonly VerifyingKey[]> {
    const id = JSON.stringify(place);
    const known = this.#sets.get(id);
    const age = known === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() - known.at;
    if (known !== undefined && age < (isMissing ? soonestMs : staleMs)) return known.keys;
    try {
      return (await this.#ask(id, place)).keys;
    } catch (thrown) {
      if (known !== undefined && age < longestMs) return known.keys;
      throw thrown;
    }
  }

  /** One request at a time; what could not be had is not asked for again with every token. */
  async #ask(id: string, place: KeySetPlace): Promise<Fetched> {
    const failed = this.#failed.get(id);
    if (failed !== undefined && this.#clock.now() - failed.at < soonestMs) throw failed.thrown;
    const asking = this.#underWay.get(id) ?? this.#fetch(id, place);
    this.#underWay.set(id, asking);
    try {
      const fetched = await asking;
      this.#failed.delete(id);
      return fetched;
    } catch (thrown) {
      if (this.#failed.size >= mostSets) this.#failed.clear();
      this.#failed.set(id, { thrown, at: this.#clock.now() });
      throw thrown;
    } finally {
      this.#underWay.delete(id);
    }
  }

  async #fetch(id: string, place: KeySetPlace): Promise<Fetched> {
    const url = place.jwksUrl ?? (await this.#discover(place));
    const { status, text } = await this.requests.ask({ url, ca: place.ca });
    if (status !== 200) throw unusable(url, `answered ${status}`);
    const fetched = { keys: keysOfJwks(text), at: this.#clock.now() };
    if (this.#sets.size >= mostSets) this.#sets.clear();
    this.#sets.set(id, fetched);
    return fetched;
  }

  // OpenID Connect Discovery 1.0 §4.3: the document must be of the very issuer that was asked.
  async #discover({ issuer = '', ca }: KeySetPlace): Promise<string> {
    const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
    const { status, text } = await this.requests.ask({ url, ca });
    if (status !== 200) throw unusable(url, `answered ${status}`);
    let document: Readonly<Record<string, unknown>>;
    try {
      document = Object(JSON.parse(text));
    } catch (thrown) {
      throw unusable(url, 'answered no JSON', thrown);
    }
    if (document.issuer !== issuer) {
      const found = String(document.issuer).slice(0, 200);
      throw unusable(url, `is of issuer "${found}", expected "${issuer}"`);
    }
    if (typeof document.jwks_uri === 'string') return document.jwks_uri;
    throw unusable(url, 'has no "jwks_uri"');
  }
}

function unusable(url: string, why: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_JWT_KEYS', `"${url.slice(0, 200)}" ${why}`, { cause });
}
