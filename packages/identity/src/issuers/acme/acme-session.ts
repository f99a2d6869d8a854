import type { KeyObject } from 'node:crypto';
import { CountersignError, Secret } from '@countersign/base';
import type { SecretSource } from '../issuer.ts';
import type { IssuerHttp, IssuerReply } from '../issuer-http.ts';
import { macJws, publicJwk, signJws } from '../jws.ts';
import { accountKey } from './account-key.ts';

export interface ExternalAccountKey {
  readonly kid: string;
  /** Base64url, as the authority hands it out. */
  readonly hmac: SecretSource;
}

export interface AcmeSessionOptions {
  readonly http: IssuerHttp;
  readonly directoryUrl: string;
  readonly accountKeyFile: string;
  readonly contact: readonly string[];
  readonly agreesToTerms: boolean;
  readonly externalAccount: ExternalAccountKey | undefined;
}

/** RFC 8555 §7.1.1, RFC 9773 §4.1. */
export interface AcmeDirectory {
  readonly newNonce: string;
  readonly newAccount: string;
  readonly newOrder: string;
  readonly renewalInfo: string | undefined;
  readonly termsOfService: string | undefined;
  readonly profiles: readonly string[];
}

interface Account {
  readonly key: KeyObject;
  readonly url: string;
}

/** How often a nonce that is not taken is replaced. */
const nonceTries = 4;

/** Requests of one account: signed by its key, with fresh nonces. */
export class AcmeSession {
  readonly #options: AcmeSessionOptions;
  readonly #nonces: string[] = [];
  #directory: AcmeDirectory | undefined;
  #account: Account | undefined;

  constructor(options: AcmeSessionOptions) {
    this.#options = options;
  }

  /** Of the account, for key authorizations. */
  async accountKey(): Promise<KeyObject> {
    return this.#account?.key ?? (await accountKey(this.#options.accountKeyFile));
  }

  /** @throws CountersignError ERR_ISSUER_ANSWER */
  async directory(signal: AbortSignal): Promise<AcmeDirectory> {
    if (this.#directory !== undefined) return this.#directory;
    const { http, directoryUrl: url } = this.#options;
    const { json } = await http.call({
      attempted: 'read the directory',
      method: 'GET',
      url,
      signal,
    });
    const { newNonce, newAccount, newOrder, renewalInfo, meta } = Object(json);
    const isWhole = [newNonce, newAccount, newOrder].every((each) => typeof each === 'string');
    if (!isWhole) throw wrong(`"${url}" is no ACME directory`);
    const { termsOfService, profiles } = Object(meta);
    this.#directory = {
      ...{ newNonce, newAccount, newOrder },
      renewalInfo: typeof renewalInfo === 'string' ? renewalInfo : undefined,
      termsOfService: typeof termsOfService === 'string' ? termsOfService : undefined,
      profiles: Object.keys(Object(profiles)),
    };
    return this.#directory;
  }

  /**
   * A request of the account.
   *
   * @param payload undefined: POST-as-GET (RFC 8555 §6.3)
   */
  async post(
    attempted: string,
    url: string,
    payload: object | undefined,
    signal: AbortSignal,
  ): Promise<IssuerReply> {
    const account = await this.#openAccount(signal);
    const send = ({ key, url: kid }: Account) =>
      this.#send(attempted, { key, url, signal, header: { kid } }, payload);
    try {
      return await send(account);
    } catch (thrown) {
      // RFC 8555 §7.3.1: an authority set up anew knows the key no more, or by another address.
      if (!isUnknownAccount(thrown)) throw thrown;
      if (this.#account === account) this.#account = undefined;
      return await send(await this.#openAccount(signal));
    }
  }

  /** RFC 8555 §7.3: the same request for an account that is there and for one that is not. */
  async #openAccount(signal: AbortSignal) {
    if (this.#account !== undefined) return this.#account;
    const { agreesToTerms, contact, accountKeyFile } = this.#options;
    const { newAccount: url, termsOfService } = await this.directory(signal);
    if (termsOfService !== undefined && !agreesToTerms) {
      const message = `the terms of service at "${termsOfService}" are not agreed to`;
      throw new CountersignError('ERR_ISSUER_CONFIG', message, {
        hint: 'read them, and say terms_agreed: true',
      });
    }
    const key = await accountKey(accountKeyFile);
    const binding = await this.#bind(key, url);
    const payload = {
      ...(termsOfService === undefined ? {} : { termsOfServiceAgreed: true }),
      ...(contact.length === 0 ? {} : { contact }),
      ...(binding === undefined ? {} : { externalAccountBinding: binding }),
    };
    const header = { jwk: publicJwk(key) };
    const reply = await this.#send('open an account', { key, url, signal, header }, payload);
    const { location } = reply.headers;
    if (location === undefined) throw wrong('an account without its address');
    this.#account = { key, url: location };
    return this.#account;
  }

  /** RFC 8555 §7.3.4. */
  async #bind(key: KeyObject, url: string) {
    const { externalAccount } = this.#options;
    if (externalAccount === undefined) return undefined;
    const hmac = Buffer.from((await externalAccount.hmac()).reveal(), 'base64url');
    const { kid } = externalAccount;
    return macJws(new Secret(hmac).reveal(), { kid, url }, JSON.stringify(publicJwk(key)));
  }

  async #send(
    attempted: string,
    by: {
      readonly key: KeyObject;
      readonly url: string;
      readonly header: object;
      readonly signal: AbortSignal;
    },
    payload: object | undefined,
  ): Promise<IssuerReply> {
    const { http } = this.#options;
    const { key, url, signal } = by;
    for (let tries = 1; ; tries += 1) {
      const nonce = await this.#nonce(signal);
      const body = payload === undefined ? '' : JSON.stringify(payload);
      const reply = await http.call({
        ...{ attempted, method: 'POST', url, signal },
        headers: { 'content-type': 'application/jose+json', accept: '*/*' },
        body: JSON.stringify(signJws(key, { ...by.header, nonce, url }, body)),
        alsoTakes: (status) => status === 400,
      });
      this.#keepNonce(reply);
      if (reply.status !== 400) return reply;
      const isStale = String(Object(reply.json).type).endsWith(':badNonce');
      if (!isStale || tries === nonceTries) throw http.refusalOf({ attempted }, reply);
    }
  }

  async #nonce(signal: AbortSignal): Promise<string> {
    const known = this.#nonces.pop();
    if (known !== undefined) return known;
    const { newNonce: url } = await this.directory(signal);
    const { http } = this.#options;
    const reply = await http.call({ attempted: 'get a nonce', method: 'HEAD', url, signal });
    this.#keepNonce(reply);
    const fresh = this.#nonces.pop();
    if (fresh === undefined) throw wrong('no nonce');
    return fresh;
  }

  #keepNonce({ headers }: IssuerReply): void {
    const nonce = headers['replay-nonce'];
    if (typeof nonce === 'string' && this.#nonces.length < 8) this.#nonces.push(nonce);
  }
}

function isUnknownAccount(thrown: unknown): boolean {
  const problem = thrown instanceof CountersignError ? thrown.fields?.problem : undefined;
  return String(problem).endsWith(':accountDoesNotExist');
}

function wrong(what: string): CountersignError {
  return new CountersignError('ERR_ISSUER_ANSWER', `an ACME server answered ${what}`);
}
