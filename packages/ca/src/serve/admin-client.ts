import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { connect } from 'node:net';
import { CountersignError, nodeHttp } from '@countersign/base';
import { AuthorityClient, type Transport } from '@countersign/wire';
import { accessRefused, isRefusedAccess } from '../state-access.ts';
import { adminSocketOf } from './admin-socket.ts';

/**
 * The client of the authority that serves this data directory, over its admin socket; undefined when none does. The
 * caller is the operator: whoever may open the socket.
 *
 * @throws CountersignError ERR_STATE_ACCESS, ERR_STATE_MISSING (no directory), ERR_API_SOCKET
 */
export async function adminClient(dataDir: string): Promise<AuthorityClient | undefined> {
  const path = await adminSocketOf(dataDir);
  if (!(await answers(path, dataDir))) return undefined;
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

async function answers(path: string, dataDir: string): Promise<boolean> {
  try {
    return await connects(path);
  } catch (thrown) {
    const attempted = `open the authority in "${dataDir}"`;
    if (isRefusedAccess(thrown)) {
      const isInside = await access(dataDir, constants.X_OK).then(
        () => true,
        () => false,
      );
      throw await accessRefused(isInside ? path : dataDir, attempted, thrown);
    }
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOTDIR') {
      throw new CountersignError('ERR_STATE_MISSING', `${attempted}: it is no directory`);
    }
    const message = `open the admin socket "${path}": ${code}`;
    throw new CountersignError('ERR_API_SOCKET', message, { cause: thrown });
  }
}

function connects(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (thrown: NodeJS.ErrnoException) => {
      if (nobodyThere.has(thrown.code)) resolve(false);
      else reject(thrown);
    });
  });
}
