import { randomBytes } from 'node:crypto';
import { mkdir, open, rm, rmdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { CountersignError, messageOf } from './errors.ts';

/** A directory that something can be written to. */
export interface PreparedDirectory {
  /** Takes away what was made for it, as far as nothing stands in it: what is refused leaves no trace. */
  giveUp(): Promise<void>;
}

/**
 * Makes a directory where it is missing, and proves it writable.
 *
 * @param attempted for the message: `issue to "payments"`
 * @param options.mode as of {@link makeDirectory}
 * @throws CountersignError ERR_DESTINATION; then nothing is left
 */
export async function prepareDirectory(
  path: string,
  attempted: string,
  options: { readonly mode?: number } = {},
): Promise<PreparedDirectory> {
  const first = await makeDirectory(path, options).catch((thrown: unknown) => {
    throw unwritable(attempted, thrown);
  });
  const giveUp = () => removeMade(path, first);
  try {
    await proveWritable(path, attempted);
    return { giveUp };
  } catch (thrown) {
    await giveUp();
    throw thrown;
  }
}

/**
 * Makes a directory and those that lead to it. Unlike `mkdir` with `recursive` it ends where a parent takes no new
 * entries, such as one of `/proc`.
 *
 * @param options.mode permission bits of what is made; 0o777 unless given, less the umask
 * @returns the first that was made; undefined where it was there
 * @throws the file system's error
 */
export async function makeDirectory(
  path: string,
  options: { readonly mode?: number } = {},
): Promise<string | undefined> {
  const directory = resolve(path);
  try {
    await mkdir(directory, options);
    return directory;
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await isDirectory(directory))) return undefined;
    const parent = dirname(directory);
    if (code !== 'ENOENT' || parent === directory || (await isDirectory(parent))) throw thrown;
    const first = await makeDirectory(parent, options);
    try {
      await mkdir(directory, options);
    } catch (again) {
      await removeMade(parent, first);
      throw again;
    }
    return first;
  }
}

/**
 * Undoes {@link makeDirectory}: what is empty of a path, from its end up to the first that was made.
 *
 * @param first what it returned
 */
export async function removeMade(path: string, first: string | undefined): Promise<void> {
  const directory = resolve(path);
  if (first === undefined || !`${directory}/`.startsWith(`${first}/`)) return;
  try {
    await rmdir(directory);
    await removeMade(dirname(directory), first);
  } catch {
    // Somebody has put something there since: it is theirs, and so is what leads to it.
  }
}

/**
 * Proves that what is asked for next can be kept there: a file is made, filled, synced and removed. To be called before
 * anything is asked that cannot be asked again.
 *
 * @throws CountersignError ERR_DESTINATION
 */
export async function proveWritable(directory: string, attempted: string): Promise<void> {
  const probe = join(directory, `.probe-${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(probe, 'wx', 0o600);
    try {
      // Random octets, so that no file system keeps them in less room than a key and its chain.
      await file.writeFile(randomBytes(probeBytes));
      await file.sync();
    } finally {
      await file.close();
    }
    await rm(probe);
  } catch (thrown) {
    await rm(probe, { force: true }).catch(() => {});
    throw unwritable(attempted, thrown);
  }
}

/**
 * The same for one file, which `writeFileDurably` is going to replace: what is there must be a plain file, since a
 * rename would put one in the place of a device or a pipe.
 *
 * @throws CountersignError ERR_DESTINATION
 */
export async function proveReplaceable(path: string, attempted: string): Promise<void> {
  const found = await stat(path).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return undefined;
    throw unwritable(attempted, thrown);
  });
  if (found !== undefined && !found.isFile()) {
    const kind = found.isDirectory() ? 'a directory' : 'something else than a file';
    throw unwritable(attempted, `"${path}" is ${kind}`);
  }
  if (basename(path) === '' || path.endsWith('/')) {
    throw unwritable(attempted, `"${path}" names a directory`);
  }
  await proveWritable(dirname(path), attempted);
}

/** More than the files of one identity, with the keys and chains of ML-DSA-87. */
const probeBytes = 64 * 1024;

async function isDirectory(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

function unwritable(attempted: string, reason: unknown): CountersignError {
  const message = `${attempted}: ${messageOf(reason)}`;
  return new CountersignError('ERR_DESTINATION', message, { cause: reason });
}
