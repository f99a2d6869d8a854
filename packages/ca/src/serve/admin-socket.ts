import { createHash } from 'node:crypto';
import { lstat, mkdir, readFile, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir, userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { CountersignError, messageOf, writeFileDurably } from '@countersign/base';

/** `sockaddr_un` holds 104 octets on macOS and 108 on Linux, with a terminating zero. */
const longestPath = 103;
const socketName = 'admin.sock';
/** Where the data directory's own path is too long for a socket, this file in it says where the socket is. */
const recordName = 'admin.sock.path';

/**
 * Listens on the admin socket of a data directory, for its owner alone (0600). Whoever may open it is the operator. Only
 * the holder of the ledger's lock calls this, so a socket that stands there is of a dead process and makes way.
 *
 * @throws CountersignError ERR_API_SOCKET
 * @returns the path, and the function that removes it
 */
export async function listenOnAdminSocket(
  server: Server,
  dataDir: string,
): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const record = join(dataDir, recordName);
  const own = join(resolve(dataDir), socketName);
  const path = Buffer.byteLength(own) <= longestPath ? own : await fallbackPath(dataDir);
  try {
    await rm(path, { force: true });
    await listenPrivately(server, path);
    if (path === own) await rm(record, { force: true });
    else await writeFileDurably(record, `${path}\n`, { mode: 0o600 });
  } catch (thrown) {
    throw new CountersignError('ERR_API_SOCKET', `listen on "${path}": ${messageOf(thrown)}`, {
      fields: { path },
      cause: thrown,
    });
  }
  return {
    path,
    async remove() {
      await rm(path, { force: true });
      await rm(record, { force: true });
    },
  };
}

/** Where the admin socket of a data directory would be; nothing says that anybody listens. */
export async function adminSocketOf(dataDir: string): Promise<string> {
  try {
    return (await readFile(join(dataDir, recordName), 'utf8')).trim();
  } catch {
    return join(resolve(dataDir), socketName);
  }
}

/** The permission bits are set by the mask in the same turn: at no moment can somebody else connect. */
async function listenPrivately(server: Server, path: string): Promise<void> {
  await new Promise<void>((listening, failed) => {
    server.once('error', failed);
    const mask = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.off('error', failed);
        listening();
      });
    } finally {
      process.umask(mask);
    }
  });
}

async function fallbackPath(dataDir: string): Promise<string> {
  const name = createHash('sha256').update(resolve(dataDir)).digest('hex').slice(0, 16);
  const directory = join(tmpdir(), `countersign-${name}`);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // Somebody else may have made it first: then whoever owns it could replace the socket.
  const found = await lstat(directory);
  const { uid } = userInfo();
  if (!found.isDirectory() || (uid >= 0 && found.uid !== uid) || (found.mode & 0o077) !== 0) {
    throw new CountersignError(
      'ERR_API_SOCKET',
      `directory "${directory}" for the admin socket belongs to somebody else or is open to others`,
      { fields: { directory, uid: found.uid, mode: found.mode & 0o777 } },
    );
  }
  return join(directory, socketName);
}
