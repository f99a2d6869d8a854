import { open, readFile, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { CountersignError, makeDirectory, messageOf, writeFileDurably } from '@countersign/base';
import { formatTilePath, type LogSource, maxEntryBytes, tileWidth } from '@countersign/wire';

/**
 * Where a log keeps its files, by the paths that they are served under: a directory of them is all that a mirror needs.
 * Entry bundles are kept with gzip, everything else as it is.
 */
export interface LogFiles {
  read(path: string): Promise<Uint8Array | undefined>;
  /** In one step, durable when it resolves. */
  write(path: string, content: Uint8Array | string): Promise<void>;
  remove(path: string): Promise<void>;
}

export const checkpointPath = 'checkpoint';
/** The verifier key, for whoever mirrors the directory. */
export const keyPath = 'key';

const compress = promisify(gzip);
const decompress = promisify(gunzip);
/** No bundle is larger; a file that claims so is not ours. */
const maxBundleBytes = tileWidth * (maxEntryBytes + 2);

/** At level 6 a certificate takes 180 bytes in place of 182, and twice as long. */
export function packBundle(bundle: Uint8Array): Promise<Uint8Array> {
  return compress(bundle, { level: 2 });
}

/** @throws CountersignError ERR_LOG_FORM */
export async function unpackBundle(packed: Uint8Array, path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await decompress(packed, { maxOutputLength: maxBundleBytes }));
  } catch (thrown) {
    throw new CountersignError('ERR_LOG_FORM', `"${path}" is not what gzip makes`, {
      fields: { tile: path },
      cause: thrown,
    });
  }
}

/** A log's files, read as any other log: nothing of them is believed. */
export function sourceOfFiles(files: LogFiles, where: string): LogSource {
  return {
    async checkpoint() {
      const note = await files.read(checkpointPath);
      if (note !== undefined) return new TextDecoder().decode(note);
      throw new CountersignError('ERR_LOG_MISSING', `"${where}" holds no checkpoint of a log`, {
        fields: { where },
      });
    },
    async tile(name) {
      const path = formatTilePath(name);
      const content = await files.read(path);
      if (content === undefined || name.level !== 'entries') return content;
      return unpackBundle(content, path);
    },
  };
}

/** @param directory made where it is missing, with the first file */
export function logDirectory(directory: string): LogFiles {
  const made = new Set<string>();
  return {
    async read(path) {
      try {
        return new Uint8Array(await readFile(join(directory, path)));
      } catch (thrown) {
        const { code } = thrown as NodeJS.ErrnoException;
        if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
        throw new CountersignError('ERR_FILE', `read "${path}" of the log: ${messageOf(thrown)}`, {
          cause: thrown,
        });
      }
    },
    async write(path, content) {
      const file = join(directory, path);
      const parent = dirname(file);
      if (!made.has(parent)) await makeDurably(parent);
      made.add(parent);
      await writeFileDurably(file, content);
    },
    async remove(path) {
      const file = join(directory, path);
      await rm(file, { force: true });
      // Directories of partial tiles are empty once the full one is there; another partial one keeps its own.
      if (!dirname(file).endsWith('.p')) return;
      await rmdir(dirname(file)).then(
        () => made.delete(dirname(file)),
        () => {},
      );
    },
  };
}

export function logInMemory(): LogFiles & { readonly contents: Map<string, Uint8Array> } {
  const contents = new Map<string, Uint8Array>();
  return {
    contents,
    read: async (path) => contents.get(path),
    async write(path, content) {
      contents.set(path, typeof content === 'string' ? new TextEncoder().encode(content) : content);
    },
    async remove(path) {
      contents.delete(path);
    },
  };
}

/** A directory, and those that lead to it, each entered durably in its parent. */
async function makeDurably(directory: string): Promise<void> {
  const first = await makeDirectory(directory, { mode: 0o755 });
  if (first === undefined) return;
  for (let at = directory; at.length >= first.length; at = dirname(at)) {
    const handle = await open(dirname(at), 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}
