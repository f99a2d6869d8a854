import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { connect, createSecureContext } from 'node:tls';
import { encodePem } from '@countersign/x509';

/** A workload as a storm needs it: what it shows, and when that ends. */
export interface StormWorkload {
  /** Leaf, DER; the rest of the chain and the key are those of all. */
  readonly leaf: Uint8Array;
  /** By the wall clock. */
  readonly notAfter: number;
}

/** Status 0 where there was no answer, or one of its certificates is missing. */
export interface StormAnswer {
  readonly status: number;
  readonly retryAfterS: number;
}

const noAnswer: StormAnswer = { status: 0, retryAfterS: 0 };
/** One process has no CPU for more: it would be late for handshakes that it began itself. */
const mostOpen = 400;
/** As the library waits. */
const timeoutMs = 15_000;

/**
 * Asks as the library does, over a connection of its own with a full handshake, but for what only the client would pay:
 * the authority's certificate is not judged, HTTP is written and read by hand, and all workloads have one key.
 */
export class StormClient {
  readonly #where: { readonly host: string; readonly port: number };
  readonly #key: KeyObject;
  readonly #rest: string;
  readonly #wanting: (() => void)[] = [];
  #open = 0;
  #count = 0;

  constructor(url: string, key: KeyObject, rest: readonly Uint8Array[]) {
    const { hostname, port } = new URL(url);
    this.#where = { host: hostname, port: Number(port) };
    this.#key = key;
    this.#rest = rest.map((der) => encodePem('CERTIFICATE', der)).join('');
  }

  async ask({ leaf }: StormWorkload, request: Buffer): Promise<StormAnswer> {
    if (this.#open >= mostOpen) await new Promise<void>((resolve) => this.#wanting.push(resolve));
    this.#open += 1;
    const text = await this.#exchange(leaf, request);
    this.#open -= 1;
    this.#wanting.shift()?.();
    const status = Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0);
    if (status === 0 || text.includes('"ok":false')) return noAnswer;
    return { status, retryAfterS: Number(/^retry-after: (\d+)/im.exec(text)?.[1] ?? 0) };
  }

  /** The answer as far as it came. */
  #exchange(leaf: Uint8Array, request: Buffer): Promise<string> {
    this.#count += 1;
    const options = {
      ...this.#where,
      // One address has no more ports than a minute's connections.
      localAddress: `127.0.1.${1 + (this.#count % 100)}`,
      secureContext: createSecureContext({
        cert: encodePem('CERTIFICATE', leaf) + this.#rest,
        key: this.#key.export({ format: 'pem', type: 'pkcs8' }),
      }),
      ecdhCurve: 'X25519',
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: false,
    };
    const socket = connect(options);
    const parts: string[] = [];
    return new Promise((resolve) => {
      const timer = setTimeout(() => socket.destroy(), timeoutMs);
      socket.once('secureConnect', () => socket.write(request));
      socket.on('data', (part: Buffer) => parts.push(part.toString('latin1')));
      socket.on('error', () => {});
      socket.once('close', () => {
        clearTimeout(timer);
        resolve(parts.join(''));
      });
    });
  }
}

export function stormKey(): KeyObject {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' }));
}
