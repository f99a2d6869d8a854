import { hash } from 'node:crypto';
import { Agent, request } from 'node:https';
import { buildCertificateRequest, extension, generateKeyPair, keySigner } from '@countersign/x509';
import { type Answered, newKey, publicJwk, signed } from './acme-client.ts';

/** What became of one order. */
export type OrderOutcome =
  | { readonly end: 'valid'; readonly order: string; readonly pem: string }
  /** The server said why. */
  | { readonly end: 'problem'; readonly order: string | undefined; readonly problem: string };

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
  readonly #agents = new Map<number, Agent>();
  readonly #pages: Map<string, string>;
  #next = 0;

  constructor(ports: readonly number[], pages: Map<string, string>) {
    this.ports = [...ports];
    this.#pages = pages;
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  /** A new account, whose key also signs what {@link order} asks. */
  async account(): Promise<OrderingAccount> {
    const account = new OrderingAccount(newKey());
    const { headers } = await this.post(account, '/acme/new-account', {
      termsOfServiceAgreed: true,
    });
    account.path = pathOf(String(headers.location));
    return account;
  }

  /** From a new order to its certificate, or to the reason why there is none. */
  async order(account: OrderingAccount, name: string): Promise<OrderOutcome> {
    const identifiers = [{ type: 'dns', value: name }];
    const made = await this.post(account, '/acme/new-order', { identifiers });
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
      await new Promise((resolve) => setTimeout(resolve, 500));
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
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
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
        const nonce = await this.nonce(port);
        const body = account.sign(`https://127.0.0.1:${port}`, path, nonce, payload);
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

  async nonce(port: number): Promise<string> {
    const { headers } = await this.send(port, 'HEAD', '/acme/new-nonce');
    return String(headers['replay-nonce']);
  }

  send(port: number, method: string, path: string, body?: string): Promise<Answered> {
    const agent = this.#agents.get(port) ?? new Agent({ keepAlive: true, maxSockets: 40 });
    this.#agents.set(port, agent);
    const headers = body === undefined ? {} : { 'content-type': 'application/jose+json' };
    return new Promise((resolve, reject) => {
      const asked = request({
        ...{ host: '127.0.0.1', port, method, path, headers, agent },
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
          if (typeof nonce === 'string') this.nonces.push(nonce);
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
