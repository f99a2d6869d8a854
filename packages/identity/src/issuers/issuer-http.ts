import type { IncomingHttpHeaders, IncomingMessage, RequestOptions } from 'node:http';
import { request as requestTls } from 'node:https';
import { CountersignError, messageOf, nodeHttp } from '@countersign/base';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import type { NamedCertificate } from '../prove-named-certificate.ts';
import type { RootsSource } from './issuer.ts';

export interface IssuerHttpOptions {
  /** For messages: `Vault at "https://vault.internal:8200"`. */
  readonly title: string;
  /** Who may vouch for its TLS certificate; the roots that Node brings unless given. */
  readonly serverRoots?: RootsSource | undefined;
  /** For each call. 15,000 unless given. */
  readonly timeoutMs?: number | undefined;
  /** A sentence of a refusal's JSON. */
  readonly detailOf: (json: unknown) => string | undefined;
  /** Whether it is a metadata service, which clouds put on a link of its own and serve in clear text. Default false. */
  readonly isOnLink?: boolean;
}

/** For what is compared with a pin afterwards: nothing is believed of such a connection, and nothing secret goes over it. */
export const believeNothing = Symbol('nothing is believed of this connection');

export interface IssuerCall {
  /** For messages: `sign with role "web"`. */
  readonly attempted: string;
  readonly method: 'GET' | 'HEAD' | 'POST';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  /** Shown to the server as the own certificate. */
  readonly credential?: Pick<NamedCertificate, 'chain' | 'privateKey'> | undefined;
  /** Statuses that are no refusal beside 2xx: the caller looks at them. */
  readonly alsoTakes?: (status: number) => boolean;
  readonly trust?: typeof believeNothing;
  readonly signal: AbortSignal;
}

export interface IssuerReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Undefined where it is none. */
  readonly json: unknown;
}

const mostBytes = 1024 * 1024;

/**
 * Calls to an issuer's interface: over TLS whose server name is checked, one connection a call, no redirects followed,
 * answers of at most 1 MiB. Plain HTTP stays on this machine.
 */
export class IssuerHttp {
  readonly #options: IssuerHttpOptions;

  constructor(options: IssuerHttpOptions) {
    this.#options = options;
  }

  /** @throws CountersignError ERR_ISSUER_UNREACHABLE, ERR_ISSUER_REFUSED with `fields.status` and, of RFC 7807, `fields.problem` */
  async call(call: IssuerCall): Promise<IssuerReply> {
    const { timeoutMs = 15_000, title } = this.#options;
    const attempted = `${call.attempted} at ${title}`;
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal = AbortSignal.any([call.signal, timeout]);
    let reply: IssuerReply;
    try {
      reply = await this.#exchange(call, signal);
    } catch (thrown) {
      if (call.signal.aborted) throw call.signal.reason;
      if (thrown instanceof CountersignError) throw thrown;
      const reason = timeout.aborted ? `no answer within ${timeoutMs} ms` : messageOf(thrown);
      const message = `${attempted}: ${reason}`;
      throw new CountersignError('ERR_ISSUER_UNREACHABLE', message, { cause: thrown });
    }
    const { status } = reply;
    if ((status >= 200 && status < 300) || call.alsoTakes?.(status) === true) return reply;
    throw this.refusalOf(call, reply);
  }

  /** What a reply that is no success says. */
  refusalOf(call: Pick<IssuerCall, 'attempted'>, { status, json }: IssuerReply): CountersignError {
    const isBusy = status === 408 || status === 429 || status >= 500;
    const detail = this.#options.detailOf(json);
    const { type } = Object(json) as { type?: unknown };
    const problem = typeof type === 'string' ? { problem: printable(type) } : {};
    const said = detail === undefined ? '' : `: ${printable(detail)}`;
    return new CountersignError(
      isBusy ? 'ERR_ISSUER_UNREACHABLE' : 'ERR_ISSUER_REFUSED',
      `${call.attempted} at ${this.#options.title}: it answers ${status}${said}`,
      { fields: { status, ...problem } },
    );
  }

  async #exchange(call: IssuerCall, signal: AbortSignal): Promise<IssuerReply> {
    const { method, body, headers, credential } = call;
    const { isOnLink = false, title } = this.#options;
    const url = isOnLink ? new URL(call.url) : checkIssuerUrl(call.url, title);
    const isPinned = call.trust === believeNothing;
    const roots = isPinned ? undefined : await this.#options.serverRoots?.();
    const options: RequestOptions & { ca?: string[]; cert?: string; key?: string } = {
      ...{ method, signal, agent: false, rejectUnauthorized: !isPinned },
      headers: {
        accept: 'application/json',
        // RFC 8555 §6.1: clients say who they are.
        'user-agent': 'countersign',
        ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
        ...headers,
      },
      ...(roots === undefined ? {} : { ca: roots.map(({ raw }) => encodePem('CERTIFICATE', raw)) }),
      ...(credential === undefined
        ? {}
        : {
            cert: credential.chain.map(({ raw }) => encodePem('CERTIFICATE', raw)).join(''),
            key: encodePrivateKey(credential.privateKey),
          }),
    };
    const send = url.protocol === 'https:' ? requestTls : nodeHttp().request;
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = send(url, options, resolve);
      outgoing.on('error', reject);
      outgoing.end(body);
    });
    const text = await readAll(response);
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      text,
      json: parseJson(text),
    };
  }
}

/**
 * Credentials go over TLS, or do not leave this machine.
 *
 * @throws CountersignError ERR_ISSUER_CONFIG
 */
export function checkIssuerUrl(text: string, title: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isHere = ['127.0.0.1', '[::1]', 'localhost'].includes(url?.hostname ?? '');
  const isSafe = url?.protocol === 'https:' || (url?.protocol === 'http:' && isHere);
  if (url !== undefined && isSafe && url.username === '' && url.password === '') return url;
  // Of what is before the "@" nothing is repeated: a password is not for logs.
  const found = text.replace(/^([a-z][a-z0-9+.-]*:)?.*@/is, '$1//…@').slice(0, 200);
  const shown = title.replaceAll(text, found);
  const message = `${shown}: expected an https URL without a user in it, found "${found}"`;
  throw new CountersignError('ERR_ISSUER_CONFIG', message);
}

/** One line, of bearable length, without what terminals obey. */
export function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e\u00a1-\uffff]+/g, ' ').slice(0, 500);
}

async function readAll(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    length += part.byteLength;
    if (length > mostBytes) throw new Error(`an answer of more than ${mostBytes} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
