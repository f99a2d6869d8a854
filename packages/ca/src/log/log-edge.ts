import {
  emptyRoot,
  foldComplete,
  foldNodes,
  formatEntryBundle,
  formatTile,
  leafHash,
  nodesOfRange,
  type TileName,
  type TreeHead,
  tileHeight,
  tileWidth,
} from '@countersign/wire';

/** A tile or bundle as it is to be kept. */
export interface EdgeTile {
  readonly name: TileName;
  readonly bytes: Uint8Array;
}

/** The right edge of a log: the last, partial tile of each level. All that is needed to go on appending. */
export class LogEdge {
  #size: number;
  /** Hashes of the partial tile of each level; empty where the last one is full. */
  readonly #levels: Uint8Array[][];
  #entries: Uint8Array[];

  constructor(
    size = 0,
    levels: readonly (readonly Uint8Array[])[] = [],
    entries: readonly Uint8Array[] = [],
  ) {
    this.#size = size;
    this.#levels = levels.map((hashes) => [...hashes]);
    this.#entries = [...entries];
  }

  get size(): number {
    return this.#size;
  }

  /** Adds a leaf, and answers the tiles and the bundle that it made full. */
  append(entry: Uint8Array): readonly EdgeTile[] {
    const full: EdgeTile[] = [];
    this.#entries.push(entry);
    if (this.#entries.length === tileWidth) {
      full.push({
        name: this.#nameOf('entries', tileWidth),
        bytes: formatEntryBundle(this.#entries),
      });
      this.#entries = [];
    }
    let hash = leafHash(entry);
    for (let level = 0; ; level += 1) {
      const hashes = this.#levels[level] ?? [];
      this.#levels[level] = hashes;
      hashes.push(hash);
      if (hashes.length < tileWidth) break;
      full.push({ name: this.#nameOf(level, tileWidth), bytes: formatTile(hashes) });
      hash = foldComplete(hashes);
      this.#levels[level] = [];
    }
    this.#size += 1;
    return full;
  }

  head(): TreeHead {
    const nodes = nodesOfRange({ start: 0, end: this.#size });
    // Every complete subtree on the way to the right end is within the partial tile of its level.
    const hashes = nodes.map(({ level, index }) => {
      const width = 2 ** (level % tileHeight);
      const start = (index * width) % tileWidth;
      const row = this.#levels[Math.floor(level / tileHeight)] ?? [];
      return foldComplete(row.slice(start, start + width));
    });
    return { size: this.#size, root: hashes.length === 0 ? emptyRoot : foldNodes(hashes) };
  }

  /** Every partial tile, and the partial bundle. */
  partials(): readonly EdgeTile[] {
    const tiles = this.#levels.flatMap((hashes, level) =>
      hashes.length === 0
        ? []
        : [{ name: this.#nameOf(level, hashes.length), bytes: formatTile(hashes) }],
    );
    const { length } = this.#entries;
    if (length === 0) return tiles;
    const bytes = formatEntryBundle(this.#entries);
    return [...tiles, { name: this.#nameOf('entries', length), bytes }];
  }

  /** A partial tile, or the beginning of one that is wider; undefined where it is not of the edge. */
  tile({ level, index, width }: TileName): Uint8Array | undefined {
    const row = level === 'entries' ? this.#entries : (this.#levels[level] ?? []);
    if (width > row.length || index !== this.#nameOf(level, row.length).index) return undefined;
    const some = row.slice(0, width);
    return level === 'entries' ? formatEntryBundle(some) : formatTile(some);
  }

  /** The tile that the next leaf goes to, or goes below. */
  #nameOf(level: number | 'entries', width: number): TileName {
    const span = level === 'entries' ? tileWidth : tileWidth ** (level + 1);
    return { level, index: Math.floor(this.#size / span), width };
  }
}
