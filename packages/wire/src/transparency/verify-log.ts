import { type Denial, denial, equalBytes, messageOf, toHex } from '@countersign/base';
import type { Checkpoint } from './checkpoint.ts';
import { type LogSource, readTile } from './log-source.ts';
import { leafHash } from './merkle-tree.ts';
import {
  foldComplete,
  formatTilePath,
  levelsOf,
  type TileName,
  tilesAtLevel,
  tileWidth,
  widthOfTile,
} from './tile-name.ts';
import { TreeFrontier } from './tree-frontier.ts';

export interface LogVerdict {
  readonly size: number;
  /** One for each thing that is not what the checkpoint commits to, by name; empty where all is. */
  readonly findings: readonly Denial[];
}

/**
 * Reads a whole log and names what does not belong: every entry against its hash, every hash against the level above it,
 * the whole against the checkpoint, and each earlier checkpoint against the beginning that it commits to.
 *
 * An entry and its hash that differ are judged by the level above: the one that leads there is true. So one tampered tile
 * or entry is named alone.
 *
 * @param earlier checkpoints of the same log that others have kept
 */
export async function verifyLog(
  source: LogSource,
  checkpoint: Checkpoint,
  earlier: readonly Checkpoint[] = [],
): Promise<LogVerdict> {
  const walk = new LogWalk(source, checkpoint, earlier);
  await walk.run();
  return { size: checkpoint.size, findings: walk.findings };
}

type Read = { readonly hashes: readonly Uint8Array[] } | { readonly wrong: Denial };

class LogWalk {
  readonly findings: Denial[] = [];
  readonly #source: LogSource;
  readonly #head: Checkpoint;
  /** Ascending by size. */
  readonly #earlier: readonly Checkpoint[];
  /** Of the hashes that were found true so far. */
  readonly #frontier = new TreeFrontier();
  /** By level above 0: hashes of the full tiles below, as computed. */
  readonly #computed: Uint8Array[][] = [];

  constructor(source: LogSource, head: Checkpoint, earlier: readonly Checkpoint[]) {
    this.#source = source;
    this.#head = head;
    this.#earlier = earlier.toSorted((a, b) => a.size - b.size);
  }

  async run(): Promise<void> {
    const { size, root } = this.#head;
    // 1. entries and their hashes, tile by tile, the true ones into the tree
    this.#compareEarlier();
    const tiles = tilesAtLevel(0, size);
    for (let index = 0; index < tiles; index += 1) {
      for (const hash of await this.#trueLeaves(index)) {
        this.#frontier.append(hash);
        this.#compareEarlier();
      }
    }
    // 2. the levels above, against what follows from those below
    for (let level = 1; level < levelsOf(size); level += 1) await this.#compareLevel(level);
    // 3. the whole
    const found = this.#frontier.root;
    if (equalBytes(found, root)) return;
    const sides = `"${toHex(root)}", its entries lead to "${toHex(found)}"`;
    this.#find('ERR_LOG_TAMPERED', `checkpoint of ${size} entries commits to root ${sides}`, {
      size,
    });
  }

  /** The leaf hashes that the tree has, of the two accounts of them; what differs is told. */
  async #trueLeaves(index: number): Promise<readonly Uint8Array[]> {
    const { size } = this.#head;
    const bundle = await this.#read({ level: 'entries', index });
    const tile = await this.#read({ level: 0, index });
    const width = widthOfTile(0, index, size);
    const ofEntries = 'hashes' in bundle ? bundle.hashes.map(leafHash) : undefined;
    const ofTile = 'hashes' in tile ? tile.hashes : undefined;
    if (ofEntries !== undefined && ofTile !== undefined && sameHashes(ofEntries, ofTile)) {
      if (width === tileWidth) this.#keep(1, foldComplete(ofTile));
      return ofTile;
    }
    const believed = await this.#believed(index, ofEntries, ofTile);
    if ('wrong' in bundle) this.findings.push(bundle.wrong);
    if ('wrong' in tile) this.findings.push(tile.wrong);
    if (ofEntries !== undefined && ofTile !== undefined) {
      if (believed === ofTile) this.#tellEntries(index, ofEntries, ofTile);
      else this.#tellTile({ level: 0, index, width }, ofTile, ofEntries);
    }
    const leaves = believed ?? Array.from({ length: width }, () => new Uint8Array(32));
    if (width === tileWidth) this.#keep(1, foldComplete(leaves));
    return leaves;
  }

  /** The account that the level above agrees with; for the last tile, the one that the root agrees with. */
  async #believed(
    index: number,
    ofEntries: readonly Uint8Array[] | undefined,
    ofTile: readonly Uint8Array[] | undefined,
  ): Promise<readonly Uint8Array[] | undefined> {
    const accounts = [ofTile, ofEntries].filter((each) => each !== undefined);
    for (const account of accounts) {
      if (await this.#agreesAbove(index, account)) return account;
    }
    return ofTile ?? ofEntries;
  }

  async #agreesAbove(index: number, leaves: readonly Uint8Array[]): Promise<boolean> {
    if (leaves.length < tileWidth) {
      const tree = this.#frontier.copy();
      for (const leaf of leaves) tree.append(leaf);
      return equalBytes(tree.root, this.#head.root);
    }
    const above = await this.#read({ level: 1, index: Math.floor(index / tileWidth) });
    const expected = 'hashes' in above ? above.hashes[index % tileWidth] : undefined;
    return expected !== undefined && equalBytes(expected, foldComplete(leaves));
  }

  async #compareLevel(level: number): Promise<void> {
    const { size } = this.#head;
    const computed = this.#computed[level] ?? [];
    for (let index = 0; index < tilesAtLevel(level, size); index += 1) {
      const expected = computed.slice(index * tileWidth, (index + 1) * tileWidth);
      if (expected.length === tileWidth) this.#keep(level + 1, foldComplete(expected));
      const tile = await this.#read({ level, index });
      if ('wrong' in tile) this.findings.push(tile.wrong);
      else this.#tellTile({ level, index, width: expected.length }, tile.hashes, expected);
    }
  }

  #tellEntries(index: number, found: readonly Uint8Array[], expected: readonly Uint8Array[]): void {
    const bundle = formatTilePath({ level: 'entries', index, width: expected.length });
    for (const [i, hash] of expected.entries()) {
      const other = found[i];
      if (other !== undefined && equalBytes(hash, other)) continue;
      const entry = index * tileWidth + i;
      const sides = `hashes to "${toHex(other ?? new Uint8Array())}", the tree has "${toHex(hash)}"`;
      this.#find('ERR_LOG_TAMPERED', `entry ${entry} in "${bundle}" ${sides}`, { bundle, entry });
    }
  }

  #tellTile(name: TileName, found: readonly Uint8Array[], expected: readonly Uint8Array[]): void {
    const tile = formatTilePath(name);
    const wrong = expected.flatMap((hash, i) => {
      const other = found[i];
      return other !== undefined && equalBytes(hash, other) ? [] : [i];
    });
    const [first] = wrong;
    if (first === undefined) return;
    const [has, follows] = [found[first], expected[first]].map((hash) =>
      hash === undefined ? 'none' : toHex(hash),
    );
    const sides = `has "${has}" where "${follows}" follows from below`;
    const more = wrong.length > 1 ? `, and ${wrong.length - 1} more are wrong` : '';
    this.#find('ERR_LOG_TAMPERED', `hash ${first} of "${tile}" ${sides}${more}`, { tile });
  }

  #compareEarlier(): void {
    for (const { size, root } of this.#earlier) {
      if (size !== this.#frontier.size || equalBytes(root, this.#frontier.root)) continue;
      const sides = `has root "${toHex(root)}", the first ${size} entries have "${toHex(this.#frontier.root)}"`;
      this.#find('ERR_LOG_INCONSISTENT', `earlier checkpoint of ${size} entries ${sides}`, {
        size,
      });
    }
    if (this.#frontier.size > 0) return;
    for (const { size } of this.#earlier) {
      if (size <= this.#head.size) continue;
      const sides = `${size} entries, the newest has ${this.#head.size}`;
      this.#find('ERR_LOG_INCONSISTENT', `a checkpoint was signed for ${sides}`, { size });
    }
  }

  #keep(level: number, hash: Uint8Array): void {
    const row = this.#computed[level] ?? [];
    row.push(hash);
    this.#computed[level] = row;
  }

  async #read(tile: Omit<TileName, 'width'>): Promise<Read> {
    try {
      return { hashes: await readTile(this.#source, tile, this.#head.size) };
    } catch (thrown) {
      const width = widthOfTile(tile.level, tile.index, this.#head.size);
      const path = formatTilePath({ ...tile, width });
      const detail = messageOf(thrown);
      return { wrong: denial('ERR_LOG_TAMPERED', detail, { tile: path }) };
    }
  }

  #find(code: Denial['code'], detail: string, fields: Denial['fields']): void {
    this.findings.push(denial(code, detail, fields));
  }
}

function sameHashes(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((hash, i) => equalBytes(hash, b[i] ?? new Uint8Array()));
}
