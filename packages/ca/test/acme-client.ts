import { createHmac, generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto';
import { request } from 'node:http';

/** What an ACME server answered. */
export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Parsed where it is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: a test asserts about what others would have to parse
  readonly body: any;
  readonly text: string;
}

const base64url = (value: string | Uint8Array): string => Buffer.from(value).toString('base64url');

/** A client that speaks as plainly as a test wants it, right or wrong. Its server is plain HTTP behind https addresses. */
export class AcmeClient {
  readonly port: number;
  readonly directory: Answered['body'];
  key: KeyObject;
  kid = '';
  userAgent: string | undefined;

  private constructor(port: number, directory: Answered['body'], key: KeyObject) {
    this.port = port;
    this.directory = directory;
    this.key = key;
  }

  static async at(port: number, path: string): Promise<AcmeClient> {
    const directory = await send(port, 'GET', path, undefined, undefined, 'test');
    return new AcmeClient(port, directory.body, newKey());
  }

  get jwk(): object {
    return publicJwk(this.key);
  }
  get thumbprint(): string {
    return hash('sha256', JSON.stringify(this.jwk), 'base64url');
  }

  async nonce(): Promise<string> {
    const { port, userAgent, directory } = this;
    const none = [undefined, undefined] as const;
    const { headers } = await send(port, 'HEAD', pathOf(directory.newNonce), ...none, userAgent);
    return String(headers['replay-nonce']);
  }

  /** Signed by the account, or with `jwk` by the key alone. */
  async post(
    url: string,
    payload: unknown,
    { jwk = false, header = {} }: { readonly jwk?: boolean; readonly header?: object } = {},
  ): Promise<Answered> {
    const who = jwk ? { jwk: this.jwk } : { kid: this.kid };
    const head = { alg: 'ES256', nonce: await this.nonce(), url, ...who, ...header };
    return await this.send(url, signed(this.key, head, payload));
  }

  /** POST-as-GET. */
  get(url: string): Promise<Answered> {
    return this.post(url, undefined);
  }

  send(url: string, body: unknown, type = 'application/jose+json'): Promise<Answered> {
    const { port, userAgent } = this;
    return send(port, 'POST', pathOf(url), JSON.stringify(body), type, userAgent);
  }

  async register(payload: object = { termsOfServiceAgreed: true }): Promise<Answered> {
    const answer = await this.post(this.directory.newAccount, payload, { jwk: true });
    this.kid = String(answer.headers.location ?? '');
    return answer;
  }

  /** Asks until `isDone`, at most for ten seconds. */
  async until(url: string, isDone: (body: Answered['body']) => boolean): Promise<Answered['body']> {
    for (let i = 0; i < 500; i += 1) {
      const { body } = await this.get(url);
      if (isDone(body)) return body;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`"${url}" does not change`);
  }
}

export function newKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

export function publicJwk(key: KeyObject): object {
  const { crv, kty, x, y } = key.export({ format: 'jwk' });
  return { crv, kty, x, y };
}

/** A flattened JWS by ES256; a payload of undefined is empty. */
export function signed(key: KeyObject, header: object, payload: unknown): object {
  const head = base64url(JSON.stringify(header));
  const body = payload === undefined ? '' : base64url(JSON.stringify(payload));
  const signature = sign('sha256', Buffer.from(`${head}.${body}`), {
    key,
    dsaEncoding: 'ieee-p1363',
  });
  return { protected: head, payload: body, signature: base64url(signature) };
}

/** An external account's binding of a key. */
export function bindingOf(jwk: object, url: string, kid: string, secret: Uint8Array): object {
  const head = base64url(JSON.stringify({ alg: 'HS256', kid, url }));
  const body = base64url(JSON.stringify(jwk));
  const mac = createHmac('sha256', secret).update(`${head}.${body}`).digest();
  return { protected: head, payload: body, signature: base64url(mac) };
}

function pathOf(url: string): string {
  const { pathname, search } = new URL(url);
  return `${pathname}${search}`;
}

export function send(
  port: number,
  method: string,
  path: string,
  body?: string,
  type?: string,
  userAgent?: string,
): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...(type !== undefined && { 'content-type': type }),
      ...(userAgent !== undefined && { 'user-agent': userAgent }),
    };
    const asked = request({ host: '127.0.0.1', port, method, path, headers, agent: false });
    asked.on('error', reject);
    asked.on('response', async (answer) => {
      const parts: Buffer[] = [];
      for await (const part of answer) parts.push(part as Buffer);
      const text = Buffer.concat(parts).toString();
      const isJson = text !== '' && answer.headers['content-type']?.includes('json') === true;
      const { statusCode: status = 0, headers: found } = answer;
      resolve({ status, headers: found, body: isJson ? JSON.parse(text) : undefined, text });
    });
    asked.end(body);
  });
}
