import { connect } from 'node:net';
import { CountersignError, nodeHttp } from '@countersign/base';
import { AuthorityClient, type Transport } from '@countersign/wire';
import { adminSocketOf } from './admin-socket.ts';

/**
 * The client of the authority that serves this data directory, over its admin socket; undefined when none does. The
 * caller is the operator: whoever may open the socket.
 *
 * @throws CountersignError ERR_API_SOCKET where a server is there and the socket may not be opened
 */
export async function adminClient(dataDir: string): Promise<AuthorityClient | undefined> {
  const path = await adminSocketOf(dataDir);
  if (!(await answers(path))) return undefined;
  return new AuthorityClient({ url: `unix:${path}`, transport: socketTransport(path) });
}

/** Plain HTTP over a Unix socket, one connection a request. */
function socketTransport(socketPath: string): Transport {
  return (call) =>
    new Promise((resolve, reject) => {
      const { method, path, signal, body } = call;
      const headers = body === undefined ? {} : { 'content-type': 'application/json' };
      const request = nodeHttp().request(
        { socketPath, method, path, headers: { host: 'admin', ...headers }, signal, agent: false },
        (response) =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: response as AsyncIterable<Uint8Array>,
          }),
      );
      request.once('error', reject);
      request.end(body);
    });
}

/** Reset: who served was killed at this moment. */
const nobodyThere: ReadonlySet<string | undefined> = new Set([
  'ENOENT',
  'ECONNREFUSED',
  'ECONNRESET',
]);

function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (thrown: NodeJS.ErrnoException) => {
      if (nobodyThere.has(thrown.code)) return resolve(false);
      const message = `open the admin socket "${path}": ${thrown.code}`;
      reject(new CountersignError('ERR_API_SOCKET', message, { cause: thrown }));
    });
  });
}
