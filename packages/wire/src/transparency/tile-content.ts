import { CountersignError, concatBytes } from '@countersign/base';
import { hashBytes } from './merkle-tree.ts';
import { formatTilePath, type TileName } from './tile-name.ts';

/** The largest entry that a bundle can hold: its length is written in two octets. */
export const maxEntryBytes = 0xffff;

/** C2SP tlog-tiles: the hashes one after the other. */
export function formatTile(hashes: readonly Uint8Array[]): Uint8Array {
  return concatBytes(...hashes);
}

/**
 * The hashes of a tile. A tile that is wider than asked for has the others after them, and is read as well.
 *
 * @throws CountersignError ERR_LOG_FORM
 */
export function parseTile(bytes: Uint8Array, name: TileName): Uint8Array[] {
  const whole = bytes.byteLength / hashBytes;
  if (!Number.isInteger(whole) || whole < name.width || whole > 256) {
    const sides = `has ${bytes.byteLength} bytes, ${name.width * hashBytes} are expected`;
    throw malformed(name, sides);
  }
  return Array.from({ length: name.width }, (_, i) =>
    bytes.subarray(i * hashBytes, (i + 1) * hashBytes),
  );
}

/** C2SP tlog-tiles: each entry behind its length in two octets. @throws RangeError for an entry above 65,535 bytes */
export function formatEntryBundle(entries: readonly Uint8Array[]): Uint8Array {
  return concatBytes(
    ...entries.flatMap((entry) => {
      const { byteLength } = entry;
      if (byteLength > maxEntryBytes) throw new RangeError(`an entry has ${byteLength} bytes`);
      return [new Uint8Array([byteLength >> 8, byteLength & 0xff]), entry];
    }),
  );
}

/**
 * The entries of a bundle, views of its bytes. One that is wider than asked for is read as well.
 *
 * @throws CountersignError ERR_LOG_FORM
 */
export function parseEntryBundle(bytes: Uint8Array, name: TileName): Uint8Array[] {
  const entries: Uint8Array[] = [];
  let at = 0;
  while (entries.length < name.width) {
    const start = at + 2;
    const end = start + (bytes[at] ?? 0) * 256 + (bytes[at + 1] ?? 0);
    if (start > bytes.byteLength || end > bytes.byteLength) {
      throw malformed(name, `ends within entry ${entries.length}, ${name.width} are expected`);
    }
    entries.push(bytes.subarray(start, end));
    at = end;
  }
  return entries;
}

function malformed(name: TileName, wrong: string): CountersignError {
  const tile = formatTilePath(name);
  return new CountersignError('ERR_LOG_FORM', `"${tile}" ${wrong}`, { fields: { tile } });
}
