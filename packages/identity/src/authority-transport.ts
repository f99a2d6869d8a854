import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { type Clock, nodeHttp } from '@countersign/base';
import { dialMtls } from '@countersign/mtls';
import type { BundleSource, SvidSource } from '@countersign/spiffe';
import { AuthorityClient, type Transport, type TransportRequest } from '@countersign/wire';
import { type AuthorityAddress, parseAuthorityUrl } from './authority-url.ts';
import { expectAuthority } from './expect-authority.ts';
import type { OpenConnection } from './open-connection.ts';

export interface AuthorityTransportOptions {
  /** `https://HOST:PORT`. */
  readonly url: string;
  /** Whose certificate to present; asked at each call. Without it the caller stays anonymous. */
  readonly svids?: SvidSource;
  /** Who may vouch for the authority; asked at each call. */
  readonly bundles: BundleSource;
  /** The authority's trust domain, where it is known. */
  readonly trustDomain?: string;
  readonly clock: Clock;
  /** For name look-up, TCP and TLS together; 10,000 unless given. */
  readonly dialTimeoutMs?: number;
  /** For the first call, where it is fresh by then. */
  readonly opened?: OpenConnection;
}

/**
 * Calls the authority over mTLS, HTTP/1.1, one connection a call: calls are rare, and each then shows the identity and
 * asks the bundle as they are at that moment. Answers are streamed, so that it carries the feed too.
 *
 * @throws CountersignError ERR_IDENTITY_URL
 */
export function authorityTransport(options: AuthorityTransportOptions): Transport {
  const address = parseAuthorityUrl(options.url);
  let { opened } = options;
  return async function callAuthority(request) {
    const taken = opened?.isFresh === true ? { opened: opened.socket } : {};
    opened = undefined;
    const { socket } = await dialMtls({
      host: address.host,
      port: address.port,
      bundles: options.bundles,
      profile: 'any',
      expect: expectAuthority(options.trustDomain),
      clock: options.clock,
      signal: request.signal,
      ...taken,
      ...(options.svids === undefined ? {} : { svids: options.svids }),
      ...(options.dialTimeoutMs === undefined ? {} : { timeoutMs: options.dialTimeoutMs }),
    });
    const response = await exchange(socket, address, request);
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: bodyOf(response, socket),
    };
  };
}

/** The authority's API over {@link authorityTransport}. */
export function authorityClient(
  options: AuthorityTransportOptions & { readonly timeoutMs?: number },
): AuthorityClient {
  const { origin } = parseAuthorityUrl(options.url);
  return new AuthorityClient({
    transport: authorityTransport(options),
    url: origin,
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
  });
}

async function exchange(
  socket: TLSSocket,
  address: AuthorityAddress,
  { method, path, body, signal }: TransportRequest,
): Promise<IncomingMessage> {
  try {
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing = nodeHttp().request({
        createConnection: () => socket,
        host: address.host,
        port: address.port,
        method,
        path,
        signal,
        headers: {
          accept:
            'application/json, application/x-ndjson, application/x-pem-file, application/problem+json',
          connection: 'close',
          ...(body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
        },
      });
      outgoing.once('response', resolve);
      // Not once: an abort after the answer has begun is told here as well, and belongs to the body's reader.
      outgoing.on('error', reject);
      outgoing.end(body);
    });
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  }
}

async function* bodyOf(response: IncomingMessage, socket: TLSSocket): AsyncGenerator<Uint8Array> {
  try {
    yield* response as AsyncIterable<Uint8Array>;
  } finally {
    socket.destroy();
  }
}
