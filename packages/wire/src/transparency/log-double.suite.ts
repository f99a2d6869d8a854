import type { LogSource } from './log-source.ts';
import { leafHash } from './merkle-tree.ts';
import { formatEntryBundle, formatTile } from './tile-content.ts';
import {
  foldComplete,
  formatTilePath,
  levelsOf,
  tilesAtLevel,
  tileWidth,
  widthOfTile,
} from './tile-name.ts';

/** Every tile and bundle of a log with these entries, by path; tests change what they like. */
export function tilesOf(entries: readonly Uint8Array[]): Map<string, Uint8Array> {
  const size = entries.length;
  const tiles = new Map<string, Uint8Array>();
  for (let index = 0; index < tilesAtLevel('entries', size); index += 1) {
    const width = widthOfTile('entries', index, size);
    const some = entries.slice(index * tileWidth, index * tileWidth + width);
    tiles.set(formatTilePath({ level: 'entries', index, width }), formatEntryBundle(some));
  }
  let hashes = entries.map(leafHash);
  for (let level = 0; level < levelsOf(size); level += 1) {
    const above: Uint8Array[] = [];
    for (let index = 0; index < tilesAtLevel(level, size); index += 1) {
      const width = widthOfTile(level, index, size);
      const some = hashes.slice(index * tileWidth, index * tileWidth + width);
      tiles.set(formatTilePath({ level, index, width }), formatTile(some));
      if (width === tileWidth) above.push(foldComplete(some));
    }
    hashes = above;
  }
  return tiles;
}

export function sourceOf(tiles: Map<string, Uint8Array>, note: string): LogSource {
  return {
    checkpoint: async () => note,
    tile: async (name) => tiles.get(formatTilePath(name)),
  };
}
