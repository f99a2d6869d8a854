import { lstat, opendir, realpath, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { messageOf } from '@countersign/base';
import { type Repository, repositoryAround, repositoryAt } from './git-index.ts';
import { beyondLimit } from './scan-failure.ts';

/** A regular file, and what is around it. */
export interface WalkedFile {
  /** Below the path that was given, as it was given. */
  readonly path: string;
  /** Without symbolic links in it. */
  readonly real: string;
  readonly repository: Repository | undefined;
  /** Those that it lies in, from the given one down; none for a file that was given itself. */
  readonly directories: readonly string[];
}

export interface WalkLimits {
  readonly maxFiles: number;
  readonly maxDepth: number;
}

export const walkLimits: WalkLimits = { maxFiles: 20_000_000, maxDepth: 256 };

type Unread = (thrown: unknown, path: string) => void;

interface Directory {
  readonly path: string;
  readonly real: string;
  readonly repository: Repository | undefined;
  readonly directories: readonly string[];
}

/**
 * The regular files below a path, in the order of their names. Symbolic links are not followed, except by the path itself; the
 * directory of git and file systems that the kernel makes up (/proc, /sys) are passed over.
 */
export async function* walkTree(
  path: string,
  unread: Unread,
  limits: WalkLimits = walkLimits,
): AsyncGenerator<WalkedFile, void> {
  const real = await realpath(path);
  const stat = await lstat(real);
  if (!stat.isDirectory()) {
    const repository = await repositoryAround(dirname(real));
    if (stat.isFile()) yield { path, real, repository, directories: [] };
    else unread(new TypeError('it is neither a directory nor a regular file'), path);
    return;
  }
  const repository = await repositoryAround(real);
  // A stack, not recursion: what was pushed last is visited first, so it is pushed from the last name on.
  const waiting: Directory[] = [{ path, real, repository, directories: [path] }];
  let files = 0;
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const listed = await listDirectory(next, unread);
    const inner: Directory[] = [];
    for (const { name, isDirectory } of listed) {
      const below = { path: join(next.path, name), real: join(next.real, name) };
      if (isDirectory) {
        const directory = await enter(next, below, unread, limits);
        if (directory !== undefined) inner.push(directory);
        continue;
      }
      files += 1;
      if (files > limits.maxFiles) {
        unread(beyondLimit(`more than ${limits.maxFiles} files; the rest is left out`), path);
        return;
      }
      yield { ...next, ...below };
    }
    waiting.push(...inner.toReversed());
  }
}

async function enter(
  parent: Directory,
  below: { readonly path: string; readonly real: string },
  unread: Unread,
  { maxDepth }: WalkLimits,
): Promise<Directory | undefined> {
  if (basename(below.real) === '.git') return undefined;
  if (parent.directories.length === maxDepth) {
    unread(beyondLimit(`directories are nested deeper than ${maxDepth}`), below.path);
    return undefined;
  }
  if (await isMadeUp(below.real)) return undefined;
  const repository = (await repositoryAt(below.real)) ?? parent.repository;
  return { ...below, repository, directories: [...parent.directories, below.path] };
}

async function listDirectory(
  { path, real }: Directory,
  unread: Unread,
): Promise<{ readonly name: string; readonly isDirectory: boolean }[]> {
  const found: { name: string; isDirectory: boolean }[] = [];
  try {
    for await (const entry of await opendir(real)) {
      const isDirectory = entry.isDirectory();
      if (isDirectory || entry.isFile()) found.push({ name: entry.name, isDirectory });
    }
  } catch (thrown) {
    unread(thrown, path);
  }
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** linux/magic.h: proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, devpts, bpf. */
const madeUp: ReadonlySet<number> = new Set([
  0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x64626720, 0x74726163, 0x73636673, 0x1cd1, 0xcafe4a11,
]);

/** Only the top of a file system can be one, and those few have no second name: most directories are told by `dev`. */
async function isMadeUp(directory: string): Promise<boolean> {
  try {
    const [here, above] = await Promise.all([lstat(directory), lstat(dirname(directory))]);
    return here.dev !== above.dev && madeUp.has((await statfs(directory)).type);
  } catch {
    // it cannot be looked at: listing it says why
    return false;
  }
}

/** For messages about a path that was given and is not there. */
export function reasonOf(thrown: unknown): string {
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';
  return reasons[code] ?? messageOf(thrown);
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ELOOP: 'it has become a symbolic link',
};
