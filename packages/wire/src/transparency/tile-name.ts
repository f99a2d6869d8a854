import { nodeHash } from './merkle-tree.ts';

/** C2SP tlog-tiles: a tile holds 256 hashes, the subtree of height 8 above them follows from these. */
export const tileWidth = 256;
export const tileHeight = 8;

/** Which tile: hashes of a level, or the entries below level 0. `width` is below 256 for the last of its level alone. */
export interface TileName {
  readonly level: number | 'entries';
  readonly index: number;
  readonly width: number;
}

/** `tile/0/x001/234`, `tile/entries/000.p/17`: the path below the log's prefix. */
export function formatTilePath({ level, index, width }: TileName): string {
  const digits = index.toString().padStart(Math.ceil(index.toString().length / 3) * 3, '0');
  const groups = digits.match(/\d{3}/g) ?? [];
  const path = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/');
  return `tile/${level}/${path}${width === tileWidth ? '' : `.p/${width}`}`;
}

/** The tile of a path, or undefined for any other text: every tile has one spelling. */
export function parseTilePath(path: string): TileName | undefined {
  const found =
    /^tile\/(entries|\d|[1-5]\d|6[0-3])\/((?:x\d{3}\/){0,4}\d{3})(?:\.p\/([1-9]\d{0,2}))?$/.exec(
      path,
    );
  if (found === null) return undefined;
  const [, level = '', number = '', partial] = found;
  const name = {
    level: level === 'entries' ? ('entries' as const) : Number(level),
    index: Number(number.replaceAll(/[x/]/g, '')),
    width: partial === undefined ? tileWidth : Number(partial),
  };
  const isOne = name.width <= tileWidth && formatTilePath(name) === path;
  return isOne ? name : undefined;
}

/** How many hashes (entries) a tile has in a log of `size`; 0 where it has none. */
export function widthOfTile(level: number | 'entries', index: number, size: number): number {
  const span = level === 'entries' ? 1 : tileWidth ** level;
  const width = Math.floor(size / span) - index * tileWidth;
  return Math.min(tileWidth, Math.max(0, width));
}

/** Tiles that a log of `size` has at a level, the partial one included. */
export function tilesAtLevel(level: number | 'entries', size: number): number {
  const span = level === 'entries' ? 1 : tileWidth ** level;
  return Math.ceil(Math.floor(size / span) / tileWidth);
}

/** Levels of hash tiles that a log of `size` has. */
export function levelsOf(size: number): number {
  let levels = 0;
  while (tileWidth ** levels <= size) levels += 1;
  return levels;
}

/** Root of a complete subtree from the hashes at its bottom, whose number is a power of two. */
export function foldComplete(hashes: readonly Uint8Array[]): Uint8Array {
  let row = hashes;
  while (row.length > 1) row = pairs(row);
  const [root] = row;
  if (root === undefined) throw new RangeError('no hashes to fold');
  return root;
}

function pairs(row: readonly Uint8Array[]): Uint8Array[] {
  const above: Uint8Array[] = [];
  for (let i = 0; i + 1 < row.length; i += 2) {
    const [left, right] = [row[i], row[i + 1]];
    if (left !== undefined && right !== undefined) above.push(nodeHash(left, right));
  }
  return above;
}
