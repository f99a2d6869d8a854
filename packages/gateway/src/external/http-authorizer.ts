import type { AuthzQuestion, ExternalAnswer, ExternalAuthorizer } from '@countersign/authz';
import { denial } from '@countersign/base';
import { expectSpiffeId, mtlsConnector } from '@countersign/mtls';
import { type Dispatcher, Pool } from 'undici';
import type { ProviderConfig } from '../provider-config.ts';
import type { UpstreamSurroundings } from '../upstream/upstream.ts';
import { answerWithoutOne } from './answer-without-one.ts';
import { shownHeaders } from './shown-headers.ts';

/**
 * Asks an HTTP `ext_authz` service as Envoy does: the request's own method and path behind a prefix, as
 * much of its body as was chosen, the headers that were chosen, and who the caller is by the handshake. 200 is yes, 5xx no
 * answer, any other status no, and is what the caller is answered. Over
 * clear text only on this machine; elsewhere by mTLS, to the SPIFFE ID that the configuration names.
 */
export class HttpAuthorizer implements ExternalAuthorizer {
  readonly #config: ProviderConfig;
  readonly #around: UpstreamSurroundings;
  readonly #pool: Pool;
  readonly wantsBody: ExternalAuthorizer['wantsBody'];

  constructor(config: ProviderConfig, around: UpstreamSurroundings) {
    this.#config = config;
    this.#around = around;
    const { includeRequestBodyInCheck: body } = config;
    this.wantsBody = body && {
      maxBytes: body.maxRequestBytes,
      takesPart: body.allowPartialMessage,
    };
    this.#pool = openPool(config, around);
  }

  async check(asked: AuthzQuestion): Promise<ExternalAnswer> {
    try {
      return await this.#ask(asked);
    } catch (thrown) {
      return answerWithoutOne(this.#config, thrown, this.#around.log);
    }
  }

  destroy(): Promise<void> {
    return this.#pool.destroy();
  }

  async #ask(asked: AuthzQuestion): Promise<ExternalAnswer> {
    const { timeout, pathPrefix } = this.#config;
    const { method = 'GET', path = '/', query = '', body } = asked.request ?? {};
    const { statusCode, headers, ...answer } = await this.#pool.request({
      method: method as Dispatcher.HttpMethod,
      path: `${pathPrefix}${path}${query}`,
      headers: this.#headersOf(asked),
      body: body?.bytes ?? null,
      responseHeaders: 'raw',
      headersTimeout: timeout,
      bodyTimeout: timeout,
      signal: AbortSignal.timeout(timeout),
    });
    const lines = linesOf(headers as unknown as readonly (string | Buffer)[]);
    const text = await textOf(answer.body);
    if (statusCode >= 500) throw new Error(`it answered ${statusCode}`);
    if (statusCode === 200) return this.#allowed(lines);
    const refused = denial('ERR_AUTHZ_DENIED', `it answered ${statusCode}`, {
      providerStatus: statusCode,
    });
    const { headersToDownstreamOnDeny: patterns } = this.#config;
    const told = patterns.length === 0 ? lines.filter(isOfAnswer) : chosen(lines, patterns);
    return { ...refused, response: { status: statusCode, headers: told, body: text } };
  }

  #allowed(lines: readonly Line[]): ExternalAnswer {
    const { headersToUpstreamOnAllow, headersToDownstreamOnAllow } = this.#config;
    const [set, response] = [headersToUpstreamOnAllow, headersToDownstreamOnAllow].map((patterns) =>
      chosen(lines, patterns),
    );
    return {
      ok: true,
      changes: {
        request: { remove: [], set: set ?? [], add: [], addIfAbsent: [] },
        response: { set: [], add: response ?? [], addIfAbsent: [] },
      },
    };
  }

  /** Names and values alternating. */
  #headersOf(asked: AuthzQuestion): string[] {
    const { includeRequestHeadersInCheck, includeAdditionalHeadersInCheck } = this.#config;
    const isChosen = (header: string) =>
      includeRequestHeadersInCheck.some((pattern) => isLike(header, pattern));
    const { request } = asked;
    const headers = ['host', request?.host ?? ''];
    if (request?.body !== undefined) {
      headers.push('x-envoy-auth-partial-body', String(request.body.isPart));
    }
    for (const [header, value] of Object.entries(includeAdditionalHeadersInCheck)) {
      headers.push(header, value);
    }
    return [...headers, ...shownHeaders(asked, isChosen, ownNameOf(this.#around))];
  }
}

type Line = readonly [name: string, value: string];

const longestAnswer = 64 * 1024;

/** Of an answer that a caller gets: its length is known anew, and the connection to the service was another. */
function isOfAnswer([name]: Line): boolean {
  return !notPassedOn.has(name.toLowerCase());
}

const notPassedOn = new Set([
  ...['connection', 'content-length', 'date', 'host', 'keep-alive', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade'],
]);

function chosen(lines: readonly Line[], patterns: readonly string[]): Line[] {
  return lines.filter(([name]) => patterns.some((each) => isLike(name.toLowerCase(), each)));
}

function linesOf(raw: readonly (string | Buffer)[]): Line[] {
  const texts = raw.map((each) => (typeof each === 'string' ? each : each.toString('latin1')));
  return texts.flatMap((name, i): Line[] => (i % 2 === 0 ? [[name, texts[i + 1] ?? '']] : []));
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.byteLength;
    if (length > longestAnswer) throw new Error(`an answer of more than ${longestAnswer} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** As Istio matches them: whole, by their beginning or by their end, whatever the case. */
function isLike(header: string, written: string): boolean {
  const pattern = written.toLowerCase();
  if (pattern.startsWith('*')) return header.endsWith(pattern.slice(1));
  return pattern.endsWith('*') ? header.startsWith(pattern.slice(0, -1)) : header === pattern;
}

function openPool({ url, spiffeId, timeout }: ProviderConfig, around: UpstreamSurroundings): Pool {
  const { host, protocol, hostname } = new URL(url);
  const options = { connections: 64, pipelining: 1 };
  if (protocol === 'http:') return new Pool(`http://${host}`, options);
  const { credentials, connections, prepare, allowed, clock } = around;
  const svids = credentials.identityOf('own');
  const trust = credentials.trustOf('own');
  const { bundles } = trust;
  const isNamed = expectSpiffeId(spiffeId ?? '');
  const port = new URL(url).port === '' ? `${hostname}:443` : host;
  return new Pool(`http://${port}`, {
    ...options,
    connect: mtlsConnector({
      ...{ svids, bundles, connections, prepare, clock, timeoutMs: timeout },
      expect: (peer) => {
        const named = isNamed(peer);
        return named.ok ? allowed(peer, trust) : named;
      },
    }),
  });
}

function ownNameOf({ credentials }: UpstreamSurroundings): string | undefined {
  return credentials.identityOf('own').svid().spiffeId?.toString();
}
