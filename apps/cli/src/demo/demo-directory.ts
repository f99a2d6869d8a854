import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import process from 'node:process';
import { CountersignError } from '@countersign/base';

/** Where one demo keeps everything, for as long as it runs and until the next one begins. */
export interface DemoDirectory {
  readonly path: string;
  /** As a reader of the terminal may type it. */
  readonly shown: string;
  file(name: string): string;
  /** Lets go of the directory; what is in it stays to be looked at. */
  release(): Promise<void>;
}

const parent = '.countersign';
const most = 20;

/**
 * Takes `.countersign/demo` of the current directory, or `demo-2`, `demo-3`… where another demo that still runs has it.
 * What an earlier demo left there is removed: a demo's authority is good for that demo alone.
 *
 * @throws CountersignError ERR_FILE
 */
export async function takeDemoDirectory(cwd: string): Promise<DemoDirectory> {
  await mkdir(join(cwd, parent), { recursive: true });
  for (let n = 1; n <= most; n += 1) {
    const name = n === 1 ? 'demo' : `demo-${n}`;
    const path = join(cwd, parent, name);
    const lock = `${path}.lock`;
    if (!(await takeLock(lock))) continue;
    await rm(path, { recursive: true, force: true });
    await mkdir(join(path, 'log'), { recursive: true, mode: 0o700 });
    return {
      path,
      shown: relative(cwd, path),
      file: (file) => join(path, file),
      release: () => rm(lock, { force: true }),
    };
  }
  throw new CountersignError(
    'ERR_FILE',
    `demo: ${most} other demos already run in "${join(cwd, parent)}"`,
    { hint: 'end some of them, or run it in another directory' },
  );
}

/** A lock is a file with a process's id; it holds for as long as that process lives. */
async function takeLock(path: string): Promise<boolean> {
  if (await createLock(path)) return true;
  const holder = Number(await readFile(path, 'utf8').catch(() => ''));
  if (holder === 0 || (Number.isSafeInteger(holder) && isAlive(holder))) return false;
  await rm(path, { force: true });
  return createLock(path);
}

async function createLock(path: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx');
    await file.writeFile(String(process.pid));
    await file.close();
    return true;
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST') return false;
    throw thrown;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return thrown instanceof Error && 'code' in thrown && thrown.code === 'EPERM';
  }
}
