import { emptyRoot, foldNodes, hashBytes, nodeHash } from './merkle-tree.ts';

/**
 * What has to be kept of a tree to go on appending to it and to know its root: one hash for each bit of its size. A
 * follower of a log that keeps nothing else still notices every change of what it has read.
 */
export class TreeFrontier {
  #size: number;
  readonly #hashes: Uint8Array[];

  /** @throws RangeError where the hashes are not those of a tree of that size */
  constructor(size = 0, hashes: readonly Uint8Array[] = []) {
    const isFrontier =
      Number.isSafeInteger(size) &&
      size >= 0 &&
      hashes.length === onesOf(size) &&
      hashes.every((hash) => hash.byteLength === hashBytes);
    if (!isFrontier) throw new RangeError(`${hashes.length} hashes are no tree of ${size}`);
    this.#size = size;
    this.#hashes = [...hashes];
  }

  get size(): number {
    return this.#size;
  }

  /** Of the complete subtrees, the largest first. */
  get hashes(): readonly Uint8Array[] {
    return this.#hashes;
  }

  append(leafHash: Uint8Array): void {
    let hash = leafHash;
    for (let rest = this.#size; rest % 2 === 1; rest = Math.floor(rest / 2)) {
      hash = nodeHash(this.#hashes.pop() ?? emptyRoot, hash);
    }
    this.#hashes.push(hash);
    this.#size += 1;
  }

  get root(): Uint8Array {
    return this.#size === 0 ? emptyRoot : foldNodes(this.#hashes);
  }

  copy(): TreeFrontier {
    return new TreeFrontier(this.#size, this.#hashes);
  }
}

function onesOf(size: number): number {
  return size.toString(2).replaceAll('0', '').length;
}
