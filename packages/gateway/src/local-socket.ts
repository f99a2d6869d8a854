import { lstat, rm } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import process from 'node:process';
import { CountersignError, messageOf } from '@countersign/base';

/** As the system has it for the name of a Unix socket. */
const longestPath = 107;

/**
 * Listens on a Unix socket that its owner alone may connect to. What a process that was killed left there is taken away
 * first; what is no socket, or one that somebody answers at, is not.
 *
 * @throws CountersignError ERR_LISTEN
 */
export async function listenOnPath(server: Server, path: string): Promise<void> {
  try {
    const length = Buffer.byteLength(path);
    if (length > longestPath) {
      throw new Error(`the path has ${length} bytes, at most ${longestPath} are possible`);
    }
    await makeWay(path);
    await listenPrivately(server, path);
  } catch (thrown) {
    throw new CountersignError('ERR_LISTEN', `listen on "${path}": ${messageOf(thrown)}`, {
      fields: { path },
      cause: thrown,
    });
  }
}

async function makeWay(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error('something is there that is no socket');
  if (await answers(path)) throw new Error('another process listens there');
  await rm(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    // Whoever may not ask cannot say that nobody is there.
    socket.once('error', (thrown: Error & { code?: string }) => {
      resolve(thrown.code !== 'ECONNREFUSED' && thrown.code !== 'ENOENT');
    });
  });
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
