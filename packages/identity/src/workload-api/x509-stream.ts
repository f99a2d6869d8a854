import { once } from 'node:events';
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  type IncomingHttpHeaders,
} from 'node:http2';
import { connect } from 'node:net';
import { CountersignError } from '@countersign/base';
import { parseX509Response, type X509Response } from './x509-response.ts';

/** Chains, keys and bundles of one workload. */
const maxMessageBytes = 4 * 1024 * 1024;

/**
 * Path of a Workload API's socket (SPIFFE Workload Endpoint §3): `unix:///path`, or the path alone.
 *
 * @throws CountersignError ERR_IDENTITY_URL
 */
export function workloadSocket(address: string): string {
  const path = /^unix:(\/\/)?(\/.+)$/.exec(address)?.[2] ?? (address.startsWith('/') && address);
  if (path) return path;
  const message = `"${address}" is no socket of a Workload API, unix:///path/of/agent.sock is expected`;
  throw new CountersignError('ERR_IDENTITY_URL', message);
}

/**
 * Calls FetchX509SVID and gives each answer as it comes. Ends with the signal.
 *
 * @param path of the socket
 * @throws CountersignError ERR_IDENTITY_WORKLOAD_API with how the call ended, ERR_IDENTITY_RESPONSE
 */
export async function* x509Stream(path: string, signal: AbortSignal): AsyncGenerator<X509Response> {
  const session = connectHttp2('http://localhost', { createConnection: () => connect(path) });
  const giveUp = () => session.destroy();
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    yield* answers(session, path);
  } catch (thrown) {
    if (signal.aborted) return;
    if (thrown instanceof CountersignError) throw thrown;
    // A stream says that it was cancelled, and the session's error is behind it.
    const { code, cause } = thrown as { code?: string; cause?: { code?: string } };
    throw ended(path, String(cause?.code ?? code ?? thrown));
  } finally {
    signal.removeEventListener('abort', giveUp);
    session.destroy();
  }
}

async function* answers(session: ClientHttp2Session, path: string): AsyncGenerator<X509Response> {
  const failed = once(session, 'error').then(([thrown]) => Promise.reject(thrown));
  failed.catch(() => {});
  const stream = session.request({
    ':method': 'POST',
    ':path': '/SpiffeWorkloadAPI/FetchX509SVID',
    'content-type': 'application/grpc',
    te: 'trailers',
    // SPIFFE Workload API §3: what a page or a proxy that was tricked into calling would not send.
    'workload.spiffe.io': 'true',
  });
  let trailers: IncomingHttpHeaders = {};
  const take = (headers: IncomingHttpHeaders) => {
    if (headers['grpc-status'] !== undefined) trailers = headers;
  };
  stream.on('response', take);
  stream.on('trailers', take);
  // An empty message: flag and length.
  stream.end(Buffer.alloc(5));
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      if (rest.length < 5) break;
      const length = rest.readUInt32BE(1);
      if (rest[0] !== 0 || length > maxMessageBytes) {
        throw ended(path, `a message of ${length} bytes, or compressed`);
      }
      if (rest.length < 5 + length) break;
      const message = rest.subarray(5, 5 + length);
      rest = rest.subarray(5 + length);
      yield parseX509Response(message);
    }
  }
  const { 'grpc-status': status = 'nothing', 'grpc-message': text = '' } = trailers;
  throw ended(path, `status ${String(status)} ${decodeURIComponent(String(text))}`.trim());
}

function ended(path: string, how: string): CountersignError {
  const message = `fetch an identity at "${path}": ${how}`;
  return new CountersignError('ERR_IDENTITY_WORKLOAD_API', message, { fields: { path } });
}
