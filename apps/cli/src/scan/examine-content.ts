import { pipeline, Readable, type Transform } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { messageOf } from '@countersign/base';
import { ByteSource } from './byte-source.ts';
import type { FoundKey } from './found-key.ts';
import { keyInDer, longestDerKey } from './key-in-der.ts';
import { keysInText } from './keys-in-text.ts';
import { beyondLimit, brokenArchive } from './scan-failure.ts';
import { isTarHeader, readTar } from './tar-reader.ts';

/** What comes of the bytes of one file, however deep its archives are. */
export interface Examination {
  /** `within`: the entries that lead to it, outermost first; empty in the file itself. */
  found(key: FoundKey, within: readonly string[]): void;
  /** Something in it could not be read; what stands beside it still is. */
  unread(thrown: unknown, within: readonly string[]): void;
  /** It holds the manifest of a container image. */
  image(): void;
}

export interface ExamineLimits {
  /** Bytes that come out of the decompression of one file, all its layers together. */
  readonly maxInflatedBytes: number;
  /** Archives inside archives; an image is one, a layer in it the second, its compression the third. */
  readonly maxDepth: number;
}

export const examineLimits: ExamineLimits = { maxInflatedBytes: 16 * 1024 ** 3, maxDepth: 6 };

/** Looks through a file by what it holds, never by its name. Rejects only where `source` itself does. */
export async function examineContent(
  source: ByteSource,
  into: Examination,
  limits: ExamineLimits = examineLimits,
): Promise<void> {
  await examine(source, [], { into, limits, left: limits.maxInflatedBytes, depth: 0 });
}

interface Task {
  readonly into: Examination;
  readonly limits: ExamineLimits;
  left: number;
  depth: number;
}

/** Enough to tell text from binary. */
const headBytes = 8192;

async function examine(source: ByteSource, within: readonly string[], task: Task): Promise<void> {
  const head = await source.peek(headBytes);
  const unpack = unpackers.find(({ magic }) => magic.every((octet, i) => head[i] === octet));
  if (unpack !== undefined) return deeper(task, () => inflate(source, unpack, within, task));
  if (isTarHeader(head)) return deeper(task, () => examineTar(source, within, task));
  const key = head[0] === 0x30 ? await derKeyOf(source) : undefined;
  if (key !== undefined) return task.into.found(key, within);
  // binary: nothing of what is looked for is in it
  if (head.includes(0)) return;
  for (const each of await keysInText(source)) task.into.found(each, within);
}

async function derKeyOf(source: ByteSource): Promise<FoundKey | undefined> {
  const bytes = await source.peek(longestDerKey + 1);
  return bytes.byteLength > longestDerKey ? undefined : keyInDer(bytes);
}

async function deeper(task: Task, act: () => Promise<void>): Promise<void> {
  const { maxDepth } = task.limits;
  if (task.depth === maxDepth) throw beyondLimit(`archives are nested deeper than ${maxDepth}`);
  task.depth += 1;
  try {
    await act();
  } finally {
    task.depth -= 1;
  }
}

async function examineTar(
  source: ByteSource,
  within: readonly string[],
  task: Task,
): Promise<void> {
  for await (const entry of readTar(source)) {
    const path = [...within, entry.path];
    const content = new ByteSource(entry.content);
    try {
      if (within.length === 0 && (await isImageManifest(entry.path, content))) task.into.image();
      await examine(content, path, task);
    } catch (thrown) {
      task.into.unread(thrown, path);
    }
  }
}

/** What a file at the top of an archive or a directory says of it: the layouts of OCI and of `docker save`. */
export async function isImageManifest(name: string, content: ByteSource): Promise<boolean> {
  const word = imageWords[name];
  return word !== undefined && (await content.peek(headBytes)).includes(word);
}

const imageWords: Readonly<Record<string, string>> = {
  'oci-layout': '"imageLayoutVersion"',
  'manifest.json': '"Layers"',
};

interface Unpacker {
  readonly name: string;
  readonly magic: readonly number[];
  create(): Transform;
}

/** A row a compression that layers come in. */
const unpackers: readonly Unpacker[] = [
  { name: 'gzip', magic: [0x1f, 0x8b, 0x08], create: () => createGunzip() },
  { name: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd], create: () => createZstdDecompress() },
];

async function inflate(
  source: ByteSource,
  { name, create }: Unpacker,
  within: readonly string[],
  task: Task,
): Promise<void> {
  const unpacked = create();
  pipeline(Readable.from(source.rest()), unpacked, () => {});
  const inner = new ByteSource(metered(unpacked, task));
  try {
    await examine(inner, within, task);
  } catch (thrown) {
    if (!isZlibError(thrown)) throw thrown;
    throw brokenArchive(`${name}: ${messageOf(thrown)}`);
  } finally {
    await inner.close();
  }
}

async function* metered(chunks: AsyncIterable<Uint8Array>, task: Task): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    task.left -= chunk.byteLength;
    if (task.left < 0) {
      throw beyondLimit(`more than ${task.limits.maxInflatedBytes} bytes come out of it`);
    }
    yield chunk;
  }
}

function isZlibError(thrown: unknown): boolean {
  return (
    thrown instanceof Error &&
    'code' in thrown &&
    /^(Z_|ZSTD_|ERR_STREAM)/.test(String(thrown.code))
  );
}
