import { lstat, readFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { CountersignError } from '@countersign/base';

/** A working tree of git, and what its index tracks. Git itself is not run: its settings name programs to start. */
export interface Repository {
  /** The top of the working tree. */
  readonly root: string;
  /** Paths from the root with "/" between. @throws CountersignError ERR_CLI_SCAN_GIT */
  tracked(): Promise<ReadonlySet<string>>;
}

/** Of the file, and of the paths in it: version 4 writes a path as its difference from the one before. */
const maxIndexBytes = 512 * 1024 ** 2;

/** The repository whose working tree has its top here, read when it is first asked; undefined where there is none. */
export async function repositoryAt(root: string): Promise<Repository | undefined> {
  const at = join(root, '.git');
  const stat = await lstat(at).catch(() => undefined);
  if (stat === undefined || !(stat.isDirectory() || stat.isFile())) return undefined;
  let tracked: Promise<ReadonlySet<string>> | undefined;
  return {
    root,
    tracked() {
      tracked ??= readTracked(root, at, stat.isFile());
      return tracked;
    },
  };
}

/** Of the working tree that a directory is in, however far above its top is. */
export async function repositoryAround(directory: string): Promise<Repository | undefined> {
  for (let at = resolve(directory); ; at = dirname(at)) {
    const found = await repositoryAt(at);
    if (found !== undefined || at === dirname(at)) return found;
  }
}

async function readTracked(
  root: string,
  at: string,
  isPointer: boolean,
): Promise<ReadonlySet<string>> {
  try {
    // of submodules and further working trees: a file that names the directory
    const directory = isPointer ? await followPointer(root, at) : at;
    return await readIndex(join(directory, 'index'), await objectIdBytes(directory));
  } catch (thrown) {
    if (thrown instanceof CountersignError) throw thrown;
    if (codeOf(thrown) === 'ENOENT') return new Set();
    throw failed(`its index cannot be read: ${codeOf(thrown)}`, thrown);
  }
}

async function followPointer(root: string, at: string): Promise<string> {
  const target = /^gitdir: (.+?)\r?\n?$/s.exec(await readSmall(at))?.[1];
  if (target === undefined) throw failed('".git" is a file that names no directory');
  return isAbsolute(target) ? target : join(root, target);
}

/** SHA-256 repositories say so in their settings; a further working tree has them where `commondir` says. */
async function objectIdBytes(directory: string): Promise<20 | 32> {
  const common = await readSmall(join(directory, 'commondir')).catch(() => '.');
  const settings = await readSmall(join(resolve(directory, common.trim()), 'config')).catch(
    () => '',
  );
  return /^\s*objectformat\s*=\s*"?sha256"?\s*$/im.test(settings) ? 32 : 20;
}

async function readSmall(path: string): Promise<string> {
  const stat = await lstat(path);
  if (!stat.isFile() || stat.size > 1024 * 1024) throw failed(`"${path}" is no small file`);
  return readFile(path, 'utf8');
}

async function readIndex(path: string, idBytes: 20 | 32): Promise<ReadonlySet<string>> {
  const stat = await lstat(path);
  if (!stat.isFile() || stat.size > maxIndexBytes) {
    throw failed(`its index is no file of at most ${maxIndexBytes} bytes`);
  }
  const bytes = await readFile(path);
  const { paths, extensions } = parseIndex(bytes, idBytes);
  const link = extensions.get('link');
  if (link === undefined) return new Set(paths);
  // A split index: most entries stand in a shared one, some of which are deleted or replaced here. What it deletes is
  // told as tracked, since it was a commit ago.
  const shared = Buffer.from(link.subarray(0, idBytes)).toString('hex');
  const file = join(dirname(path), `sharedindex.${shared}`);
  return new Set([...paths, ...parseIndex(await readFile(file), idBytes).paths]);
}

/**
 * The paths and extensions of an index, versions 2 to 4 (gitformat-index).
 *
 * @throws CountersignError ERR_CLI_SCAN_GIT
 */
function parseIndex(
  bytes: Buffer,
  idBytes: 20 | 32,
): { readonly paths: string[]; readonly extensions: ReadonlyMap<string, Buffer> } {
  const version = bytes.byteLength < 12 + idBytes ? 0 : bytes.readUInt32BE(4);
  if (bytes.toString('latin1', 0, 4) !== 'DIRC' || version < 2 || version > 4) {
    throw failed(`its index is of version ${version}, 2 to 4 are read`);
  }
  const end = bytes.byteLength - idBytes;
  const paths: string[] = [];
  let previous: Buffer = Buffer.alloc(0);
  let pathBytes = 0;
  let at = 12;
  for (let left = bytes.readUInt32BE(8); left > 0; left -= 1) {
    const start = at;
    at += 40 + idBytes;
    if (at + 2 > end) throw failed('its index ends inside an entry');
    const flags = bytes.readUInt16BE(at);
    at += version > 2 && (flags & 0x4000) !== 0 ? 4 : 2;
    const kept = version === 4 ? readVarint(bytes, at) : { value: previous.byteLength, next: at };
    const zero = bytes.indexOf(0, kept.next);
    if (zero < 0 || zero >= end || kept.value > previous.byteLength) {
      throw failed('its index has a malformed path');
    }
    const shared = previous.subarray(0, previous.byteLength - kept.value);
    previous = Buffer.concat([shared, bytes.subarray(kept.next, zero)]);
    pathBytes += previous.byteLength;
    if (pathBytes > maxIndexBytes) throw failed(`its paths have more than ${maxIndexBytes} bytes`);
    // up to version 3, one to eight zeros round an entry up
    at = version === 4 ? zero + 1 : start + (Math.floor((zero - start) / 8) + 1) * 8;
    paths.push(previous.toString('utf8'));
  }
  return { paths, extensions: extensionsOf(bytes, at, end) };
}

function extensionsOf(bytes: Buffer, from: number, end: number): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>();
  for (let at = from; at + 8 <= end; ) {
    const to = at + 8 + bytes.readUInt32BE(at + 4);
    if (to > end) throw failed('its index ends inside an extension');
    found.set(bytes.toString('latin1', at, at + 4), bytes.subarray(at + 8, to));
    at = to;
  }
  return found;
}

/** How many octets of the path before are dropped: base 128, the offset encoding of packs. */
function readVarint(bytes: Buffer, from: number): { value: number; next: number } {
  let octet = bytes[from] ?? 0;
  let value = octet & 0x7f;
  let next = from + 1;
  while ((octet & 0x80) !== 0 && next - from < 6) {
    octet = bytes[next] ?? 0;
    next += 1;
    value = (value + 1) * 128 + (octet & 0x7f);
  }
  return { value, next };
}

function failed(reason: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_CLI_SCAN_GIT', `list what git tracks: ${reason}`, { cause });
}

function codeOf(thrown: unknown): string {
  return thrown instanceof Error && 'code' in thrown ? String(thrown.code) : String(thrown);
}
