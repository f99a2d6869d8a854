import type { ByteSource } from './byte-source.ts';
import { beyondLimit, brokenArchive } from './scan-failure.ts';

export interface TarEntry {
  /** As the archive writes it, without "./" in front. */
  readonly path: string;
  readonly size: number;
  /** Permission bits. */
  readonly mode: number;
  /** The entry's bytes; what is left unread is passed over when the next entry is asked for. */
  readonly content: AsyncIterable<Uint8Array>;
}

export interface TarLimits {
  /** Entries of any kind. */
  readonly maxEntries: number;
  /** Of a path, and of a record of extended headers. */
  readonly maxHeaderBytes: number;
}

export const tarLimits: TarLimits = { maxEntries: 2_000_000, maxHeaderBytes: 1024 * 1024 };

const blockSize = 512;

/**
 * The regular files of a tar archive (POSIX.1-2024 pax, ustar, GNU long names and sizes; v7), in order, as they stream by.
 * Links, directories and devices hold no bytes. Strict: a header whose checksum is wrong ends it, and so does a missing
 * end of an entry; whatever stood before has been given out.
 *
 * @throws CountersignError ERR_CLI_SCAN_ARCHIVE, ERR_CLI_SCAN_LIMIT
 */
export async function* readTar(
  source: ByteSource,
  limits: TarLimits = tarLimits,
): AsyncGenerator<TarEntry, void> {
  let said: Extended = {};
  let lasting: Extended = {};
  for (let entries = 0; ; entries += 1) {
    const header = await source.read(blockSize);
    // Two blocks of zeros end it; some writers leave one or both out.
    if (header.byteLength === 0 || isZero(header)) return;
    if (header.byteLength < blockSize) throw brokenArchive('tar archive ends inside a header');
    if (entries === limits.maxEntries) {
      throw beyondLimit(`tar archive has more than ${limits.maxEntries} entries`);
    }
    if (!isTarHeader(header)) throw brokenArchive('tar header has a wrong checksum');
    const type = String.fromCharCode(header[156] ?? 0);
    const facts = factsOf(header, { ...lasting, ...said });
    const padding = (blockSize - (facts.size % blockSize)) % blockSize;

    if (type in extensions) {
      // its own size, never the one that an earlier header announces
      const size = numberAt(header, 124, 12);
      const record = await readRecord(source, size, limits);
      const read = extensions[type as keyof typeof extensions](record);
      if (type === 'g') lasting = { ...lasting, ...read };
      else said = { ...said, ...read };
      continue;
    }
    said = {};
    if (type === 'S') {
      throw brokenArchive(
        `tar entry "${facts.path}" is a sparse file of GNU tar, which is not read`,
      );
    }
    if (!isFile(type, facts.path)) {
      // Links and devices may state the size of what they stand for, and have no bytes.
      if (!withoutContent.has(type)) await skipExactly(source, facts.size + padding, facts.path);
      continue;
    }
    const left = { bytes: facts.size };
    const content = contentOf(source, left);
    yield { ...facts, content };
    // After this nobody else reads from the source: the generator has ended, whoever holds it.
    await content.return();
    await skipExactly(source, left.bytes + padding, facts.path);
  }
}

/** Whether a block is the header of an entry: its checksum says so, in every version of the format. */
export function isTarHeader(block: Uint8Array): boolean {
  if (block.byteLength < blockSize || block[0] === 0) return false;
  const stated = octalAt(block, 148, 8);
  let sum = 8 * 0x20;
  for (let at = 0; at < blockSize; at += 1) {
    if (at < 148 || at >= 156) sum += block[at] ?? 0;
  }
  return stated === sum;
}

interface Extended {
  readonly path?: string;
  readonly size?: number;
}

const links = '12';
const withoutContent: ReadonlySet<string> = new Set([...links, '3', '4', '5', '6']);

/** What the record before an entry says of it, by the type of the record. */
const extensions = {
  x: readPax,
  g: readPax,
  L: (record: Buffer): Extended => ({ path: textAt(record, 0, record.byteLength) }),
  K: (): Extended => ({}),
} as const;

function isFile(type: string, path: string): boolean {
  return (type === '0' || type === '\0' || type === '7') && !path.endsWith('/');
}

function factsOf(header: Buffer, said: Extended): { path: string; size: number; mode: number } {
  const isUstar = header.toString('latin1', 257, 262) === 'ustar';
  const isGnu = isUstar && header[262] === 0x20;
  const prefix = isUstar && !isGnu ? textAt(header, 345, 155) : '';
  const name = textAt(header, 0, 100);
  const path = said.path ?? (prefix === '' ? name : `${prefix}/${name}`);
  return {
    path: path.replace(/^(?:\.?\/)+/, ''),
    size: said.size ?? numberAt(header, 124, 12),
    mode: (octalAt(header, 100, 8) ?? 0) & 0o7777,
  };
}

async function* contentOf(
  source: ByteSource,
  left: { bytes: number },
): AsyncGenerator<Buffer, void> {
  while (left.bytes > 0) {
    const part = await source.chunk(left.bytes);
    if (part === undefined) throw brokenArchive('tar archive ends inside an entry');
    left.bytes -= part.byteLength;
    yield part;
  }
}

async function readRecord(source: ByteSource, size: number, limits: TarLimits): Promise<Buffer> {
  if (size > limits.maxHeaderBytes) {
    throw beyondLimit(`tar extended header of ${size} bytes, at most ${limits.maxHeaderBytes}`);
  }
  const record = Buffer.from(await source.read(size));
  if (record.byteLength < size) throw brokenArchive('tar archive ends inside an extended header');
  await skipExactly(source, (blockSize - (size % blockSize)) % blockSize, 'extended header');
  return record;
}

/** `LENGTH KEY=VALUE\n`, the length counting the whole record. */
function readPax(record: Buffer): Extended {
  let path: string | undefined;
  let size: number | undefined;
  for (let at = 0; at < record.byteLength; ) {
    const space = record.indexOf(0x20, at);
    const length = Number(record.toString('latin1', at, space));
    const end = at + length;
    if (space < 0 || !(length > space - at + 1) || end > record.byteLength) {
      throw brokenArchive('tar extended header is malformed');
    }
    const pair = record.toString('utf8', space + 1, end - 1);
    const equals = pair.indexOf('=');
    const [key, value] = [pair.slice(0, equals), pair.slice(equals + 1)];
    if (key.startsWith('GNU.sparse.')) {
      throw brokenArchive('tar entry is a sparse file of GNU tar, which is not read');
    }
    if (key === 'path') path = value;
    if (key === 'size') size = sizeOf(/^\d{1,16}$/.test(value) ? Number(value) : undefined);
    at = end;
  }
  return { ...(path !== undefined && { path }), ...(size !== undefined && { size }) };
}

async function skipExactly(source: ByteSource, length: number, what: string): Promise<void> {
  if ((await source.skip(length)) < length) {
    throw brokenArchive(`tar archive ends inside "${what}"`);
  }
}

/** Octal, or big-endian with the first bit set where GNU tar writes sizes from 8 GiB on. */
function numberAt(block: Buffer, at: number, length: number): number {
  if ((block[at] ?? 0) !== 0x80) return sizeOf(octalAt(block, at, length));
  let value = 0;
  for (const octet of block.subarray(at + 1, at + length)) value = value * 256 + octet;
  return sizeOf(value);
}

function sizeOf(value: number | undefined): number {
  if (value !== undefined && Number.isSafeInteger(value)) return value;
  throw brokenArchive('tar entry has a malformed size');
}

function octalAt(block: Uint8Array, at: number, length: number): number | undefined {
  const text = String.fromCharCode(...block.subarray(at, at + length));
  const digits = /^ *([0-7]*)[ \0]*$/.exec(text)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits === '' ? '0' : digits, 8);
}

function textAt(block: Buffer, at: number, length: number): string {
  const end = block.indexOf(0, at);
  return block.toString('utf8', at, end < 0 || end > at + length ? at + length : end);
}

function isZero(block: Buffer): boolean {
  return block.every((octet) => octet === 0);
}
