import { hash } from 'node:crypto';
import { Agent, request } from 'node:https';
import { buildCertificateRequest, extension, generateKeyPair, keySigner } from '@countersign/x509';
import { type Answered, newKey, publicJwk, signed } from './acme-client.ts';

/** What became of one order. */
export type OrderOutcome =
  | { readonly end: 'valid'; readonly order: string; readonly pem: string }
  /** The server said why. */
  | { readonly end: 'problem'; readonly order: string | undefined; readonly problem: string };

/** Where an authority has what its directory names: paths, the same at each of its ports. */
export interface AcmePlace {
  /** As its certificates and addresses know it. */
  readonly host: string;
  readonly newNonce: string;
  readonly newAccount: string;
  readonly newOrder: string;
  /** How long a client waits before it looks again. */
  readonly pollMs: number;
}

const ownPlace: AcmePlace = {
  host: '127.0.0.1',
  newNonce: '/acme/new-nonce',
  newAccount: '/acme/new-account',
  newOrder: '/acme/new-order',
  pollMs: 500,
};

/** How far clients are, over all orders. */
export interface OrderProgress {
  ended: number;
  /** Connections that broke. */
  broken: number;
}

/**
 * Clients of several servers that are one authority: each request goes to any of those that live, and to another one
 * where a connection breaks, as behind a balancer.
 */
export class OrderingClients {
  /** Of servers that live. */
  readonly ports: number[];
  /** Every nonce that was handed out, as often as it was. */
  readonly nonces: string[] = [];
  readonly progress: OrderProgress = { ended: 0, broken: 0 };
  readonly #place: AcmePlace;
  readonly #agents = new Map<number, Agent>();
  readonly #pages: Map<string, string>;
  readonly #unused = new Map<number, string[]>();
  #next = 0;

  constructor(ports: readonly number[], pages: Map<string, string>, place = ownPlace) {
    this.ports = [...ports];
    this.#pages = pages;
    this.#place = place;
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  /** A new account, whose key also signs what {@link order} asks. */
  async account(): Promise<OrderingAccount> {
    const account = new OrderingAccount(newKey());
    const { headers, status, text } = await this.post(account, this.#place.newAccount, {
      termsOfServiceAgreed: true,
    });
    if (status !== 201) throw new Error(`new account: ${status} ${text}`);
    account.path = pathOf(String(headers.location));
    return account;
  }

  /** From a new order to its certificate, or to the reason why there is none. */
  async order(account: OrderingAccount, name: string): Promise<OrderOutcome> {
    const identifiers = [{ type: 'dns', value: name }];
    const made = await this.post(account, this.#place.newOrder, { identifiers });
    if (made.status !== 201) return this.#ended(undefined, made);
    const order = pathOf(String(made.headers.location));
    for (const url of made.body.authorizations) {
      const failed = await this.#prove(account, pathOf(url));
      if (failed !== undefined) return this.#ended(order, failed);
    }
    const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
    const csr = await buildCertificateRequest({
      signer: keySigner(privateKey),
      extensions: [extension.subjectAltName([{ kind: 'dns', value: name }])],
    });
    const payload = { csr: Buffer.from(csr).toString('base64url') };
    let present = await this.post(account, pathOf(made.body.finalize), payload);
    // Asked again where the answer was lost: the order says how it stands.
    for (;;) {
      const shown = await this.post(account, order, undefined);
      if (shown.status !== 200) return this.#ended(order, shown);
      const { status, certificate } = shown.body;
      if (status === 'valid') {
        const { text } = await this.post(account, pathOf(certificate), undefined);
        this.progress.ended += 1;
        return { end: 'valid', order, pem: text };
      }
      if (status === 'invalid') return this.#ended(order, shown);
      await this.#pause();
      if (status !== 'ready') continue;
      present = await this.post(account, pathOf(made.body.finalize), payload);
      if (present.status >= 400 && !/orderNotReady/.test(present.text)) {
        return this.#ended(order, present);
      }
    }
  }

  async #prove(account: OrderingAccount, path: string): Promise<Answered | undefined> {
    const first = await this.post(account, path, undefined);
    if (first.status !== 200) return first;
    if (first.body.status === 'valid') return undefined;
    const { token, url } = first.body.challenges.find(
      (each: { type: string }) => each.type === 'http-01',
    );
    this.#pages.set(`/.well-known/acme-challenge/${token}`, `${token}.${account.thumbprint}`);
    await this.post(account, pathOf(url), {});
    for (;;) {
      const shown = await this.post(account, path, undefined);
      if (shown.status !== 200 || shown.body.status === 'invalid') return shown;
      if (shown.body.status === 'valid') return undefined;
      await this.#pause();
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, this.#place.pollMs));
  }

  #ended(order: string | undefined, { body, text, status }: Answered): OrderOutcome {
    this.progress.ended += 1;
    const problem = body?.error?.type ?? body?.type;
    if (typeof problem !== 'string') throw new Error(`${status}, which is no problem: ${text}`);
    return { end: 'problem', order, problem: `${problem}: ${body.detail ?? body.error?.detail}` };
  }

  /** Signed anew for each attempt; what breaks, or is asked to wait, is asked again. */
  async post(account: OrderingAccount, path: string, payload: unknown): Promise<Answered> {
    for (let attempt = 0; ; attempt += 1) {
      this.#next += 1;
      const port = this.ports[this.#next % this.ports.length] ?? 0;
      try {
        const nonce = this.#unused.get(port)?.pop() ?? (await this.nonce(port));
        const body = account.sign(`https://${this.#place.host}:${port}`, path, nonce, payload);
        const answer = await this.send(port, 'POST', path, JSON.stringify(body));
        const isAgain = /badNonce/.test(answer.text) || answer.status === 503;
        if (!isAgain || attempt > 20) return answer;
        const wait = Number(answer.headers['retry-after'] ?? 0) * 1000;
        await new Promise((resolve) => setTimeout(resolve, Math.min(wait, 5000)));
      } catch (thrown) {
        this.progress.broken += 1;
        if (attempt > 20) throw thrown;
      }
    }
  }

  /** An answer brings the nonce of the next request (RFC 8555 §6.5). */
  #keep(port: number, nonce: string): void {
    const kept = this.#unused.get(port) ?? [];
    this.#unused.set(port, kept);
    kept.push(nonce);
  }

  async nonce(port: number): Promise<string> {
    const { headers } = await this.send(port, 'HEAD', this.#place.newNonce);
    return String(headers['replay-nonce']);
  }

  /** A server that has just started may not listen yet. */
  async patiently(port: number, path: string): Promise<Answered> {
    for (let left = 100; ; left -= 1) {
      try {
        return await this.send(port, 'GET', path);
      } catch (thrown) {
        if (left === 0) throw thrown;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  send(port: number, method: string, path: string, body?: string): Promise<Answered> {
    const agent = this.#agents.get(port) ?? new Agent({ keepAlive: true, maxSockets: 40 });
    this.#agents.set(port, agent);
    const headers = body === undefined ? {} : { 'content-type': 'application/jose+json' };
    return new Promise((resolve, reject) => {
      const asked = request({
        ...{ host: '127.0.0.1', port, method, path, agent },
        headers: { ...headers, host: `${this.#place.host}:${port}`, 'user-agent': 'orders' },
        // Whom it talks to is no question of these tests.
        rejectUnauthorized: false,
        timeout: 60_000,
      });
      asked.on('timeout', () => asked.destroy(new Error('no answer for a minute')));
      asked.on('error', reject);
      asked.on('response', (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (part: Buffer) => parts.push(part));
        answer.on('error', reject);
        answer.on('end', () => {
          const { statusCode: status = 0, headers: found } = answer;
          const nonce = found['replay-nonce'];
          if (typeof nonce === 'string') {
            this.nonces.push(nonce);
            if (method === 'POST') this.#keep(port, nonce);
          }
          const text = Buffer.concat(parts).toString();
          const isJson = text !== '' && found['content-type']?.includes('json') === true;
          resolve({ status, headers: found, body: isJson ? JSON.parse(text) : undefined, text });
        });
      });
      asked.end(body);
    });
  }
}

export class OrderingAccount {
  readonly #key: ReturnType<typeof newKey>;
  readonly thumbprint: string;
  /** Of its address; empty until it is registered. */
  path = '';

  constructor(key: ReturnType<typeof newKey>) {
    this.#key = key;
    this.thumbprint = hash('sha256', JSON.stringify(publicJwk(key)), 'base64url');
  }

  sign(origin: string, path: string, nonce: string, payload: unknown): object {
    const who = this.path === '' ? { jwk: publicJwk(this.#key) } : { kid: `${origin}${this.path}` };
    return signed(this.#key, { alg: 'ES256', nonce, url: `${origin}${path}`, ...who }, payload);
  }
}

function pathOf(url: string): string {
  return new URL(url).pathname;
}
