import { constants, type FileHandle, open, realpath } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { CountersignError } from '@countersign/base';
import { ByteSource } from './byte-source.ts';
import { examineContent, isImageManifest } from './examine-content.ts';
import type { FoundKey } from './found-key.ts';
import type { Repository } from './git-index.ts';
import { beyondLimit } from './scan-failure.ts';
import type { Exposure, LocatedKey, ScanResult, Unread } from './scan-result.ts';
import { reasonOf, type WalkedFile, walkTree } from './walk-tree.ts';

/** How far it is, for whoever watches. */
export interface ScanProgress {
  readonly files: number;
  readonly bytes: number;
  readonly keys: number;
  readonly path: string;
}

const maxKeys = 100_000;
const maxUnread = 10_000;

/**
 * The private keys below some paths, each with why it should not be there. Nothing is changed, nothing of a key is kept
 * but its public half's hash, and nothing is started: git and container engines are not asked.
 */
export async function scanPaths(
  paths: readonly string[],
  watch: (progress: ScanProgress) => void,
): Promise<ScanResult> {
  const scan = new Scan();
  for (const path of await outermost(paths)) {
    try {
      for await (const file of walkTree(path, scan.unreadAt)) {
        await scan.examine(file);
        watch({ ...scan.progress, path: file.path });
      }
    } catch (thrown) {
      scan.unreadAt(thrown, path);
    }
  }
  return scan.result();
}

/** Paths that lie in another given one are looked at with it. */
async function outermost(paths: readonly string[]): Promise<string[]> {
  const reals = await Promise.all(paths.map((path) => realpath(path).catch(() => path)));
  const isWithin = (real: string, other: string) =>
    real.startsWith(other.endsWith(sep) ? other : `${other}${sep}`);
  return paths.filter((_, i) => {
    const real = reals[i] ?? '';
    return reals.indexOf(real) === i && !reals.some((other) => isWithin(real, other));
  });
}

class Scan {
  readonly #keys: { readonly file: WalkedFile; readonly key: LocatedKey }[] = [];
  readonly #unread: Unread[] = [];
  /** Directories that are images, unpacked. */
  readonly #images = new Set<string>();
  #files = 0;
  #bytes = 0;

  readonly unreadAt = (thrown: unknown, path: string): void => {
    if (this.#unread.length >= maxUnread) return;
    const code = thrown instanceof CountersignError ? thrown.code : 'ERR_FILE';
    this.#unread.push({ path, reason: reasonOf(thrown), code });
  };

  get progress(): Omit<ScanProgress, 'path'> {
    return { files: this.#files, bytes: this.#bytes, keys: this.#keys.length };
  }

  async examine(file: WalkedFile): Promise<void> {
    this.#files += 1;
    let handle: FileHandle | undefined;
    try {
      // Never through a link that was put there since, and never waiting for the other end of a pipe.
      const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
      handle = await open(file.real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const stat = await handle.stat();
      if (!stat.isFile()) return;
      await this.#examineOpen(file, handle, stat);
    } catch (thrown) {
      this.unreadAt(thrown, file.path);
    } finally {
      await handle?.close();
    }
  }

  async #examineOpen(
    file: WalkedFile,
    handle: FileHandle,
    { mode, size }: { readonly mode: number; readonly size: number },
  ): Promise<void> {
    const source = new ByteSource(this.#read(handle, size));
    const found: { readonly key: FoundKey; readonly within: readonly string[] }[] = [];
    let isImage = false;
    try {
      const directory = file.directories.at(-1);
      const name = file.real.slice(file.real.lastIndexOf(sep) + 1);
      if (directory !== undefined && (await isImageManifest(name, source))) {
        this.#images.add(directory);
      }
      await examineContent(source, {
        found: (key, within) => found.push({ key, within }),
        unread: (thrown, within) => this.unreadAt(thrown, [file.path, ...within].join('!')),
        image: () => {
          isImage = true;
        },
      });
    } catch (thrown) {
      this.unreadAt(thrown, file.path);
    } finally {
      // after this no read is under way
      await source.close();
    }
    for (const { key, within } of found) {
      if (this.#keys.length === maxKeys) {
        this.unreadAt(beyondLimit(`more than ${maxKeys} keys; the rest is left out`), file.path);
        return;
      }
      const exposures = [
        ...(within.length === 0 ? modeExposures(mode) : archiveExposures(file.path, isImage)),
        ...(await this.#gitExposures(file)),
      ];
      const path = [file.path, ...within].join('!');
      this.#keys.push({ file, key: { ...key, path, exposures } });
    }
  }

  result(): ScanResult {
    // the manifest of an unpacked image may come after its layers
    const keys = this.#keys.map(({ file, key }) => {
      const image = file.directories.find((directory) => this.#images.has(directory));
      if (image === undefined) return key;
      const others = key.exposures.filter(({ kind }) => kind !== 'in-archive');
      return { ...key, exposures: [...others, { kind: 'in-image', image } as const] };
    });
    return { keys, unread: this.#unread, files: this.#files, bytes: this.#bytes };
  }

  async *#read(handle: FileHandle, size: number): AsyncGenerator<Buffer, void> {
    const length = Math.min(size + 1, largestRead);
    for (;;) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(length), 0, length);
      if (bytesRead === 0) return;
      this.#bytes += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async #gitExposures({ real, repository, path }: WalkedFile): Promise<Exposure[]> {
    if (repository === undefined) return [];
    try {
      const isTracked = (await repository.tracked()).has(pathIn(repository, real));
      return isTracked ? [{ kind: 'tracked-by-git', repository: repository.root }] : [];
    } catch (thrown) {
      this.unreadAt(thrown, join(dirname(path), '.git'));
      return [];
    }
  }
}

const largestRead = 256 * 1024;

function pathIn({ root }: Repository, real: string): string {
  return relative(root, real).split(sep).join('/');
}

function modeExposures(mode: number): Exposure[] {
  const written = `0${(mode & 0o777).toString(8).padStart(3, '0')}`;
  if ((mode & 0o004) !== 0) return [{ kind: 'readable-by-others', mode: written }];
  return (mode & 0o040) === 0 ? [] : [{ kind: 'readable-by-group', mode: written }];
}

function archiveExposures(path: string, isImage: boolean): Exposure[] {
  return isImage ? [{ kind: 'in-image', image: path }] : [{ kind: 'in-archive', archive: path }];
}
