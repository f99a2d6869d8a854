import {
  formatEntryBundle,
  formatTile,
  formatTilePath,
  type LogSource,
  parseEntryBundle,
  parseTile,
  type TileName,
  type TreeHead,
  tileWidth,
  widthOfTile,
} from '@countersign/wire';
import { type EdgeTile, LogEdge } from './log-edge.ts';
import { type LogFiles, packBundle, unpackBundle } from './log-files.ts';

export interface StoredTile {
  readonly bytes: Uint8Array;
  /** A bundle as it is kept, with gzip. */
  readonly isPacked: boolean;
}

/** The tiles of a growing log: the right edge in memory, everything in files. */
export class LogTiles {
  readonly #files: LogFiles;
  readonly #edge: LogEdge;
  /** Full, and not durable yet. */
  readonly #unwritten = new Map<string, EdgeTile>();
  /** Paths of the partial tiles that the last checkpoint commits to. */
  #partials: readonly string[];

  constructor(files: LogFiles, edge: LogEdge = new LogEdge()) {
    this.#files = files;
    this.#edge = edge;
    this.#partials = pathsOf(edge.partials());
  }

  get size(): number {
    return this.#edge.size;
  }

  head(): TreeHead {
    return this.#edge.head();
  }

  append(entry: Uint8Array): void {
    for (const tile of this.#edge.append(entry)) {
      this.#unwritten.set(formatTilePath(tile.name), tile);
    }
  }

  /** Full tiles, which never change again. Durable when it resolves; what failed is tried again the next time. */
  async writeFull(): Promise<void> {
    for (const [path, tile] of this.#unwritten) {
      await this.#write(tile);
      this.#unwritten.delete(path);
    }
  }

  /** Partial tiles as they are now. Durable when it resolves to the function that takes away those before. */
  async writePartials(): Promise<() => Promise<void>> {
    const tiles = this.#edge.partials();
    for (const tile of tiles) await this.#write(tile);
    const paths = pathsOf(tiles);
    const old = this.#partials.filter((path) => !paths.includes(path));
    this.#partials = paths;
    return async () => {
      for (const path of old) await this.#files.remove(path);
    };
  }

  /**
   * A tile of a log of `size`, which may be less than there is. A partial tile is the beginning of what it grew into, so
   * every width can be had, and no old one is kept.
   */
  async tile(name: TileName, size: number): Promise<StoredTile | undefined> {
    if (name.width > widthOfTile(name.level, name.index, size)) return undefined;
    const ofEdge = this.#edge.tile(name);
    if (ofEdge !== undefined) return { bytes: ofEdge, isPacked: false };
    const path = formatTilePath({ ...name, width: tileWidth });
    const unwritten = this.#unwritten.get(path)?.bytes;
    const bytes = unwritten ?? (await this.#files.read(path));
    if (bytes === undefined) return undefined;
    const isPacked = name.level === 'entries' && unwritten === undefined;
    if (name.width === tileWidth) return { bytes, isPacked };
    const whole = isPacked ? await unpackBundle(bytes, path) : bytes;
    return { bytes: beginningOf(whole, name), isPacked: false };
  }

  /** A log of `size` as it is served. */
  source(size: number, note: string): LogSource {
    return {
      checkpoint: async () => note,
      tile: async (name) => {
        const tile = await this.tile(name, size);
        if (tile?.isPacked !== true) return tile?.bytes;
        return unpackBundle(tile.bytes, formatTilePath(name));
      },
    };
  }

  async #write({ name, bytes }: EdgeTile): Promise<void> {
    const isBundle = name.level === 'entries';
    const content = isBundle ? await packBundle(bytes) : bytes;
    await this.#files.write(formatTilePath(name), content);
  }
}

function beginningOf(bytes: Uint8Array, name: TileName): Uint8Array {
  if (name.level === 'entries') return formatEntryBundle(parseEntryBundle(bytes, name));
  return formatTile(parseTile(bytes, name));
}

function pathsOf(tiles: readonly EdgeTile[]): readonly string[] {
  return tiles.map(({ name }) => formatTilePath(name));
}
