import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import { CountersignError, messageOf, nodeHttp } from '@countersign/base';
import { AddressGuard } from '@countersign/wire';
import { NameFailure, Names } from '../acme/validation/names.ts';

export interface GuardedAsk {
  readonly url: string;
  readonly method?: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  /** Roots in PEM, instead of the machine's. */
  readonly ca?: string | undefined;
}

export interface GuardedAnswer {
  readonly status: number;
  readonly text: string;
}

const timeoutMs = 10_000;
const mostOctets = 512 * 1024;

/**
 * Asks an address that a caller has configured: public ones, and those in networks that ca.yaml allows. To the very
 * address that was looked at; redirects are not followed.
 */
export class GuardedRequests {
  readonly #guard: AddressGuard;
  readonly #own: AddressGuard | undefined;
  readonly #names = new Names([], timeoutMs);

  constructor(allow: readonly string[]) {
    this.#guard = new AddressGuard(allow);
    this.#own = allow.length === 0 ? undefined : this.#guard;
  }

  /** @throws CountersignError ERR_JWT_KEYS */
  async ask(asked: GuardedAsk): Promise<GuardedAnswer> {
    const { url: written } = asked;
    if (!URL.canParse(written)) throw failed(written, 'it is no address');
    const url = new URL(written);
    // In the clear only where the operator vouches for the network.
    const isPlain = url.protocol === 'http:' && this.#own !== undefined;
    if (url.protocol !== 'https:' && !isPlain) throw failed(written, 'https is asked for');
    if (url.username !== '' || url.password !== '') throw failed(written, 'it has a user name');
    const host = url.hostname.replace(/^\[|\]$/g, '');
    try {
      const addresses = await this.#names.addresses(host, this.#guard);
      const [address] = addresses;
      if (address === undefined) throw failed(written, 'it has no address');
      if (isPlain && isPublic.refuses(address) === undefined)
        throw failed(written, 'https is asked for');
      return await exchange(url, address, asked);
    } catch (thrown) {
      if (thrown instanceof CountersignError) throw thrown;
      const why = thrown instanceof NameFailure ? thrown.message : codeOf(thrown);
      throw failed(written, why, thrown);
    }
  }
}

const isPublic = new AddressGuard();

async function exchange(url: URL, address: string, asked: GuardedAsk): Promise<GuardedAnswer> {
  const family = isIP(address) as 4 | 6;
  const send = url.protocol === 'https:' ? httpsRequest : nodeHttp().request;
  const { method = 'GET', headers = {}, body, ca } = asked;
  const outgoing: ClientRequest = send(url, {
    agent: false,
    method,
    headers: { accept: 'application/json', 'accept-encoding': 'identity', ...headers },
    maxHeaderSize: 16_384,
    signal: AbortSignal.timeout(timeoutMs),
    ...(ca !== undefined && ca !== '' && { ca }),
    lookup: (_host, options, done) => {
      if (options.all === true) done(null, [{ address, family }]);
      else done(null, address, family);
    },
  });
  outgoing.end(body);
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.once('error', reject);
    });
    return { status: answer.statusCode ?? 0, text: await textOf(answer) };
  } finally {
    outgoing.on('error', () => {});
    outgoing.destroy();
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  answer.on('error', () => {});
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of answer) {
    parts.push(part as Buffer);
    length += (part as Buffer).byteLength;
    if (length > mostOctets) throw new Error(`more than ${mostOctets} octets`);
  }
  return Buffer.concat(parts).toString('utf8');
}

function codeOf(thrown: unknown): string {
  const { code } = thrown as { code?: unknown };
  return typeof code === 'string' ? code : messageOf(thrown).slice(0, 200);
}

function failed(url: string, why: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_JWT_KEYS', `ask "${url.slice(0, 200)}": ${why}`, { cause });
}
