import { CountersignError } from '@countersign/base';
import { leafHash, type NodeReader } from './merkle-tree.ts';
import { parseEntryBundle, parseTile } from './tile-content.ts';
import {
  foldComplete,
  formatTilePath,
  type TileName,
  tileHeight,
  tileWidth,
  widthOfTile,
} from './tile-name.ts';

/** Where a log is read from: files, or an authority that serves. Nothing that comes out of it is believed. */
export interface LogSource {
  /** The newest checkpoint, a signed note. @throws CountersignError ERR_LOG_MISSING */
  checkpoint(): Promise<string>;
  /** Content of a tile or bundle as it is kept; undefined where it is not there. */
  tile(name: TileName): Promise<Uint8Array | undefined>;
}

/**
 * The hashes of a tile (the entries of a bundle) of a log of `size`; none where it has none. A partial tile may be gone
 * once the full one is there, so that is asked for in its place.
 *
 * @throws CountersignError ERR_LOG_MISSING, ERR_LOG_FORM
 */
export async function readTile(
  source: LogSource,
  tile: Omit<TileName, 'width'>,
  size: number,
): Promise<Uint8Array[]> {
  const name = { ...tile, width: widthOfTile(tile.level, tile.index, size) };
  if (name.width === 0) return [];
  const bytes =
    (await source.tile(name)) ??
    (name.width < tileWidth ? await source.tile({ ...tile, width: tileWidth }) : undefined);
  if (bytes === undefined) {
    const path = formatTilePath(name);
    throw new CountersignError('ERR_LOG_MISSING', `"${path}" of the log is not there`, {
      fields: { tile: path, size },
    });
  }
  return tile.level === 'entries' ? parseEntryBundle(bytes, name) : parseTile(bytes, name);
}

/** Reads complete subtrees from the tiles of a log of `size`, each tile once. What it answers proves nothing by itself. */
export function nodeReader(source: LogSource, size: number): NodeReader {
  const tiles = new Map<string, Promise<Uint8Array[]>>();
  return async function readNode({ level, index }) {
    const tileLevel = Math.floor(level / tileHeight);
    const width = 2 ** (level % tileHeight);
    const first = index * width;
    const tile = { level: tileLevel, index: Math.floor(first / tileWidth) };
    const id = `${tile.level} ${tile.index}`;
    const hashes = tiles.get(id) ?? readTile(source, tile, size);
    tiles.set(id, hashes);
    const start = first % tileWidth;
    const bottom = (await hashes).slice(start, start + width);
    if (bottom.length === width) return foldComplete(bottom);
    throw new CountersignError('ERR_LOG_FORM', `tile ${id} has no subtree ${level}.${index}`);
  };
}

/**
 * The index of a certificate's leaf, by going through the hashes of a log of `size` from the end; undefined where it is
 * not among them.
 *
 * @throws CountersignError ERR_LOG_MISSING, ERR_LOG_FORM
 */
export async function findLeaf(
  source: LogSource,
  certificate: Uint8Array,
  size: number,
): Promise<number | undefined> {
  const wanted = Buffer.from(leafHash(certificate));
  for (let tile = Math.ceil(size / tileWidth) - 1; tile >= 0; tile -= 1) {
    const hashes = await readTile(source, { level: 0, index: tile }, size);
    const at = hashes.findLastIndex((hash) => wanted.equals(hash));
    if (at >= 0) return tile * tileWidth + at;
  }
  return undefined;
}
