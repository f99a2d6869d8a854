import { randomBytes } from 'node:crypto';
import { readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import {
  CountersignError,
  type Log,
  makeDirectory,
  messageOf,
  proveWritable,
  syncDirectory,
} from '@countersign/base';

/** Of an init that was killed: they may hold a key file. Whether one still runs is not ours to tell, so they stay. */
export async function tellLeftovers(data: string, log: Log): Promise<void> {
  const prefix = `.${basename(data)}.init-`;
  // A parent that may not be listed is none of init's business.
  const entries = await readdir(dirname(data)).catch((): string[] => []);
  for (const entry of entries.filter((each) => each.startsWith(prefix))) {
    const path = join(dirname(data), entry);
    log.warn({ path }, `"${path}" is left of an init that did not end, with its keys: remove it`);
  }
}

/** Where something is made, whole or not at all. */
export interface Place {
  /** Where to build. */
  readonly staging: string;
  /** Moves what was built in place. */
  commit(): Promise<void>;
}

/**
 * A directory that is missing or empty.
 *
 * @param last the file that makes it what it is: moved in place after all others
 * @throws CountersignError ERR_STATE_EXISTS, ERR_FILE
 */
export async function placeFor(data: string, last: string): Promise<Place> {
  const suffix = `init-${randomBytes(6).toString('hex')}`;
  const found = await entriesOf(data);
  if (found === undefined) {
    await makeDirectory(dirname(data)).catch((thrown: unknown) => {
      throw notMade(data, thrown);
    });
    const staging = join(dirname(data), `.${basename(data)}.${suffix}`);
    return { staging, commit: () => moveWhole(staging, data) };
  }
  const [first] = found;
  if (first !== undefined) {
    const what = found.includes('state.json') ? 'an authority' : `"${first}"`;
    throw new CountersignError(
      'ERR_STATE_EXISTS',
      `init an authority in "${data}": it holds ${what}`,
      {
        fields: { data, entries: found.slice(0, 10) },
      },
    );
  }
  // An empty directory may be a mount point, which nothing can be renamed onto: build inside it.
  const staging = join(data, `.${suffix}`);
  return { staging, commit: () => moveEntries(staging, data, last) };
}

export async function entriesOf(directory: string): Promise<string[] | undefined> {
  try {
    return await readdir(directory);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new CountersignError(
      'ERR_FILE',
      `read the directory "${directory}": ${messageOf(thrown)}`,
      {
        fields: { directory },
        cause: thrown,
      },
    );
  }
}

/** What is built in it is moved in place: that there is room for it is proved before a token makes a key. */
export async function makeStaging(directories: readonly string[], data: string): Promise<void> {
  try {
    for (const directory of directories) await makeDirectory(directory, { mode: 0o700 });
  } catch (thrown) {
    throw notMade(data, thrown);
  }
  for (const directory of directories) {
    await proveWritable(directory, `init an authority in "${data}"`);
  }
}

function notMade(data: string, thrown: unknown): CountersignError {
  const message = `init an authority in "${data}": ${messageOf(thrown)}`;
  return new CountersignError('ERR_DESTINATION', message, { fields: { data }, cause: thrown });
}

async function moveWhole(staging: string, data: string): Promise<void> {
  await syncDirectory(staging);
  await rename(staging, data);
  await syncDirectory(dirname(data));
}

/** The manifest goes last: until it is there, the directory is no authority. */
async function moveEntries(staging: string, data: string, last: string): Promise<void> {
  const entries = await readdir(staging);
  const ordered = [...entries.filter((entry) => entry !== last), last];
  const moved: string[] = [];
  try {
    for (const entry of ordered) {
      await rename(join(staging, entry), join(data, entry));
      moved.push(entry);
    }
  } catch (thrown) {
    for (const entry of moved) await rm(join(data, entry), { recursive: true, force: true });
    throw thrown;
  }
  await rm(staging, { recursive: true });
  await syncDirectory(data);
}
