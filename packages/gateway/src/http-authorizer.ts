import type { AuthzQuestion, ExternalAuthorizer } from '@countersign/authz';
import { type Denial, denial, type Log, messageOf } from '@countersign/base';
import { expectSpiffeId, isAnonymous, mtlsConnector } from '@countersign/mtls';
import { isIdentityHeader } from '@countersign/wire';
import { Pool } from 'undici';
import type { ProviderConfig } from './provider-config.ts';
import { identityHeadersOf } from './session.ts';
import type { UpstreamSurroundings } from './upstream/upstream.ts';

/**
 * Asks an HTTP `ext_authz` service as Envoy does: the request's own method and path (without the query) behind a prefix,
 * no body, the headers that were chosen, and who the caller is by the handshake. 200 is yes, any other status no. Over
 * clear text only on this machine; elsewhere by mTLS, to the SPIFFE ID that the configuration names.
 */
export class HttpAuthorizer implements ExternalAuthorizer {
  readonly #config: ProviderConfig;
  readonly #around: UpstreamSurroundings;
  readonly #log: Log;
  readonly #pool: Pool;

  constructor(config: ProviderConfig, around: UpstreamSurroundings) {
    this.#config = config;
    this.#around = around;
    this.#log = around.log;
    this.#pool = openPool(config, around);
  }

  async check(asked: AuthzQuestion): Promise<{ readonly ok: true } | Denial> {
    const { name, timeout, failOpen } = this.#config;
    try {
      const { statusCode, body } = await this.#pool.request({
        method: asked.request?.method ?? 'GET',
        path: `${this.#config.pathPrefix}${asked.request?.path ?? '/'}`,
        headers: this.#headersOf(asked),
        headersTimeout: timeout,
        bodyTimeout: timeout,
        signal: AbortSignal.timeout(timeout),
      });
      await body.dump();
      if (statusCode === 200) return { ok: true };
      return denial('ERR_AUTHZ_DENIED', `it answered ${statusCode}`, {
        providerStatus: statusCode,
      });
    } catch (thrown) {
      if (!failOpen) throw thrown;
      const line = { provider: name, reason: messageOf(thrown) };
      this.#log.warn(line, 'provider cannot be asked, and is configured to let through then');
      return { ok: true };
    }
  }

  destroy(): Promise<void> {
    return this.#pool.destroy();
  }

  /** Names and values alternating. What a caller says of its identity is not passed on; the handshake says it. */
  #headersOf({ peer, request }: AuthzQuestion): string[] {
    const { includeRequestHeadersInCheck, includeAdditionalHeadersInCheck } = this.#config;
    const raw = request?.rawHeaders ?? [];
    const headers = ['host', request?.host ?? ''];
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const header = raw[i]?.toLowerCase() ?? '';
      const isChosen = includeRequestHeadersInCheck.some((pattern) => isLike(header, pattern));
      if (isChosen && header !== 'host' && !isIdentityHeader(header) && !framing.has(header)) {
        headers.push(header, raw[i + 1] ?? '');
      }
    }
    for (const [header, value] of Object.entries(includeAdditionalHeadersInCheck)) {
      headers.push(header, value);
    }
    if (isAnonymous(peer)) return headers;
    return [...headers, ...identityHeadersOf(peer, ownNameOf(this.#around))];
  }
}

const framing = new Set([
  'connection',
  'content-length',
  'expect',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

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
