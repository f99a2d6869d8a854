import { type Clock, CountersignError, type Log, messageOf, Secret } from '@countersign/base';
import { certificatesFromPem, decodePrivateKey } from '@countersign/x509';
import type { SecretSource } from '../issuer.ts';
import { readPrivateText, readText } from '../issuer-files.ts';
import type { IssuerHttp } from '../issuer-http.ts';

/** How a caller proves to Vault or OpenBao who it is. `mount` is where the method is mounted, its name unless given. */
export type VaultAuth =
  | { readonly method: 'token'; readonly token: SecretSource }
  | {
      readonly method: 'approle';
      readonly roleId: SecretSource;
      /** Absent for roles that are bound to addresses alone. */
      readonly secretId?: SecretSource | undefined;
      readonly mount?: string | undefined;
    }
  | {
      readonly method: 'kubernetes' | 'jwt';
      readonly role: string;
      /** The projected token of the pod, or a JWT of another issuer. */
      readonly jwt: SecretSource;
      readonly mount?: string | undefined;
    }
  | {
      readonly method: 'cert';
      /** PEM files, read at each login. */
      readonly certFile: string;
      readonly keyFile: string;
      /** Of the role; any that the certificate fits unless given. */
      readonly name?: string | undefined;
      readonly mount?: string | undefined;
    };

export interface VaultSessionOptions {
  readonly http: IssuerHttp;
  /** Without a slash at its end. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly auth: VaultAuth;
  readonly clock: Clock;
  readonly log: Log;
}

interface Lease {
  readonly token: Secret<string>;
  /** Undefined: it does not end. */
  readonly endsAt: number | undefined;
}

interface Granted {
  readonly client_token?: unknown;
  readonly lease_duration?: unknown;
  readonly renewable?: unknown;
}

/** Before the end of a lease, from which on it counts as over. */
const marginMs = 5000;

/**
 * A token of Vault, come by as configured and renewed at half of its lease for as long as Vault renews it. Where that
 * ends, a login brings another; a token that was handed in is read again, since somebody may have replaced it.
 */
export class VaultSession {
  readonly #options: VaultSessionOptions;
  readonly #stopping = new AbortController();
  #lease: Promise<Lease> | undefined;
  /** Ends the renewals of the lease in hand: a login that is forgotten ends with its lease. */
  #renewing = new AbortController();

  constructor(options: VaultSessionOptions) {
    this.#options = options;
  }

  /** @throws CountersignError ERR_ISSUER_* */
  async token(signal: AbortSignal): Promise<Secret<string>> {
    const begun = this.#lease ?? this.#begin(signal);
    this.#lease = begun;
    try {
      const lease = await begun;
      const isOver = lease.endsAt !== undefined && this.#options.clock.now() > lease.endsAt;
      if (!isOver) return lease.token;
    } catch (thrown) {
      this.forget(begun);
      throw thrown;
    }
    this.forget(begun);
    return await this.token(signal);
  }

  /** What it has is refused: the next asker gets another. */
  forget(lease = this.#lease): void {
    if (this.#lease !== lease) return;
    this.#lease = undefined;
    this.#renewing.abort();
    this.#renewing = new AbortController();
  }

  close(): void {
    this.#stopping.abort();
  }

  async #begin(signal: AbortSignal): Promise<Lease> {
    const renewing = this.#renewing.signal;
    const granted =
      this.#options.auth.method === 'token'
        ? await this.#lookUp(this.#options.auth.token, signal)
        : await this.#logIn(signal);
    return this.#keep(granted, renewing);
  }

  async #logIn(signal: AbortSignal): Promise<Granted> {
    const { http, url, headers, auth } = this.#options;
    if (auth.method === 'token') throw new TypeError('a token is no login');
    const { body, credential } = await loginOf(auth);
    const reply = await http.call({
      attempted: `log in by ${auth.method}`,
      method: 'POST',
      url: `${url}/v1/auth/${auth.mount ?? auth.method}/login`,
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
      credential,
      signal,
    });
    return Object((reply.json as { auth?: unknown } | undefined)?.auth) as Granted;
  }

  /** How long a token that was handed in lasts; one that may not ask that is used as it is. */
  async #lookUp(source: SecretSource, signal: AbortSignal): Promise<Granted> {
    const { http, url, headers } = this.#options;
    const token = await source();
    const reply = await http.call({
      attempted: 'look up the own token',
      method: 'GET',
      url: `${url}/v1/auth/token/lookup-self`,
      headers: { ...headers, 'x-vault-token': token.reveal() },
      alsoTakes: (status) => status === 403,
      signal,
    });
    const data = Object((reply.json as { data?: unknown } | undefined)?.data);
    const { ttl, renewable } = data as { ttl?: unknown; renewable?: unknown };
    return { client_token: token.reveal(), lease_duration: ttl ?? 0, renewable };
  }

  #keep(granted: Granted, renewing: AbortSignal): Lease {
    const { clock } = this.#options;
    const { client_token: token, lease_duration: seconds, renewable } = granted;
    if (typeof token !== 'string' || token === '' || !Number.isSafeInteger(seconds)) {
      throw new CountersignError('ERR_ISSUER_ANSWER', 'a login at Vault brought no token');
    }
    const lengthMs = Number(seconds) * 1000;
    const lease: Lease = {
      token: new Secret(token),
      endsAt:
        lengthMs === 0 ? undefined : clock.now() + Math.max(lengthMs / 2, lengthMs - marginMs),
    };
    if (renewable === true && lengthMs > 0) {
      void this.#renewInTime(lease, lengthMs, renewing);
    }
    return lease;
  }

  async #renewInTime({ token }: Lease, lengthMs: number, renewing: AbortSignal): Promise<void> {
    const { http, url, headers, clock, log } = this.#options;
    const signal = AbortSignal.any([this.#stopping.signal, renewing]);
    try {
      await clock.sleep(lengthMs / 2, { signal, ref: false });
      const reply = await http.call({
        attempted: 'renew the own token',
        method: 'POST',
        url: `${url}/v1/auth/token/renew-self`,
        headers: { ...headers, 'x-vault-token': token.reveal() },
        signal,
      });
      const renewed = Object((reply.json as { auth?: unknown } | undefined)?.auth) as Granted;
      if (!signal.aborted) this.#lease = Promise.resolve(this.#keep(renewed, renewing));
    } catch (thrown) {
      if (signal.aborted) return;
      log.warn({ reason: messageOf(thrown) }, 'token of Vault not renewed');
    }
  }
}

type Login = Exclude<VaultAuth, { readonly method: 'token' }>;

async function loginOf(auth: Login) {
  if (auth.method === 'approle') {
    const roleId = (await auth.roleId()).reveal();
    const secretId = (await auth.secretId?.())?.reveal();
    const body = { role_id: roleId, ...(secretId === undefined ? {} : { secret_id: secretId }) };
    return { body, credential: undefined };
  }
  if (auth.method === 'cert') {
    const body = auth.name === undefined ? {} : { name: auth.name };
    return { body, credential: await readCredential(auth) };
  }
  return { body: { role: auth.role, jwt: (await auth.jwt()).reveal() }, credential: undefined };
}

async function readCredential({ certFile, keyFile }: Extract<Login, { method: 'cert' }>) {
  try {
    const [leaf, ...rest] = certificatesFromPem(await readText(certFile));
    if (leaf === undefined) throw new Error(`no certificate in "${certFile}"`);
    return {
      chain: [leaf, ...rest] as const,
      privateKey: decodePrivateKey(await readPrivateText(keyFile)),
    };
  } catch (thrown) {
    const files = `"${certFile}" and "${keyFile}"`;
    const message = `certificate for a login at Vault, ${files}: ${messageOf(thrown)}`;
    throw new CountersignError('ERR_ISSUER_SECRET', message, { cause: thrown });
  }
}
