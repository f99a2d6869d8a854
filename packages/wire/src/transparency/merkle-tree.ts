import { hash } from 'node:crypto';
import { concatBytes } from '@countersign/base';

/**
 * The Merkle tree of RFC 9162 §2.1 over SHA-256: which hashes a root or a proof is made of, and how they are put
 * together. Nothing here reads anything: whoever keeps the tree gives the hashes of its complete subtrees.
 */
export const hashBytes = 32;

/** RFC 9162 §2.1.1: the hash of an empty list is the hash of an empty string. */
export const emptyRoot: Uint8Array = digest(new Uint8Array());

/** RFC 9162 §2.1.1: a leaf begins with 0x00, a node with 0x01, so that neither can pass for the other. */
export function leafHash(entry: Uint8Array): Uint8Array {
  return digest(leafPrefix, entry);
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  return digest(nodePrefix, left, right);
}

/** A complete subtree: the leaves from `index · 2^level` on, 2^level of them. */
export interface TreeNode {
  readonly level: number;
  readonly index: number;
}

/** Leaves from `start` up to `end`, which is not one of them. */
export interface LeafRange {
  readonly start: number;
  readonly end: number;
}

/** The ranges whose hashes prove that leaf `index` is in the tree of `size`, the leaf's neighbour first (RFC 9162 §2.1.3.1). */
export function inclusionRanges(index: number, size: number): readonly LeafRange[] {
  checkOrder(index + 1, size);
  const ranges: LeafRange[] = [];
  let [start, end] = [0, size];
  while (end - start > 1) {
    const middle = start + largestPowerBelow(end - start);
    const goesLeft = index < middle;
    ranges.unshift(goesLeft ? { start: middle, end } : { start, end: middle });
    if (goesLeft) end = middle;
    else start = middle;
  }
  return ranges;
}

/** The ranges whose hashes prove that the tree of `from` leaves is the beginning of that of `to` (RFC 9162 §2.1.4.1). */
export function consistencyRanges(from: number, to: number): readonly LeafRange[] {
  checkOrder(from, to);
  if (from === 0 || from === to) return [];
  const ranges: LeafRange[] = [];
  let [start, end] = [0, to];
  while (from < end) {
    const middle = start + largestPowerBelow(end - start);
    const goesLeft = from <= middle;
    ranges.unshift(goesLeft ? { start: middle, end } : { start, end: middle });
    if (goesLeft) end = middle;
    else start = middle;
  }
  // Whoever asks has the root of the first tree: it is left out where it is one of the hashes.
  return start === 0 ? ranges : [{ start, end }, ...ranges];
}

/** The complete subtrees that make up a range, which begins where a subtree of its size can begin. */
export function nodesOfRange({ start, end }: LeafRange): readonly TreeNode[] {
  const nodes: TreeNode[] = [];
  for (let at = start; at < end; ) {
    const level = levelWithin(end - at);
    const width = 2 ** level;
    nodes.push({ level, index: at / width });
    at += width;
  }
  return nodes;
}

/** The hash of a range from those of {@link nodesOfRange}. */
export function foldNodes(hashes: readonly Uint8Array[]): Uint8Array {
  return hashes.reduceRight((right, left) => nodeHash(left, right));
}

/** The hash of a complete subtree; asked for those that are within the tree alone. */
export type NodeReader = (node: TreeNode) => Uint8Array | Promise<Uint8Array>;

/** Root hash of the first `size` leaves. */
export async function rootHash(size: number, read: NodeReader): Promise<Uint8Array> {
  if (size === 0) return emptyRoot;
  return foldNodes(await Promise.all(nodesOfRange({ start: 0, end: size }).map(read)));
}

/** The hashes of a proof, from {@link inclusionRanges} or {@link consistencyRanges}. */
export async function proofHashes(
  ranges: readonly LeafRange[],
  read: NodeReader,
): Promise<Uint8Array[]> {
  return Promise.all(
    ranges.map(async (range) => foldNodes(await Promise.all(nodesOfRange(range).map(read)))),
  );
}

const leafPrefix = new Uint8Array([0]);
const nodePrefix = new Uint8Array([1]);

function digest(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(hash('sha256', concatBytes(...parts), 'buffer'));
}

/** The largest power of two below `n`, which is 2 at least. */
function largestPowerBelow(n: number): number {
  return 2 ** levelWithin(n - 1);
}

/** Level of the largest complete subtree that `n` leaves hold; by digits, since logarithms are rounded. */
function levelWithin(n: number): number {
  return n.toString(2).length - 1;
}

function checkOrder(first: number, second: number): void {
  const isOrdered = first >= 0 && first <= second;
  if (isOrdered && Number.isSafeInteger(first) && Number.isSafeInteger(second)) return;
  throw new RangeError(`no proof from ${first} to ${second}`);
}
