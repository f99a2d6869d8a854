import { type Denial, denial, equalBytes, toHex } from '@countersign/base';
import { emptyRoot, nodeHash } from './merkle-tree.ts';

export type Proved = { readonly ok: true } | Denial;

/** The size of a tree and its root hash. */
export interface TreeHead {
  readonly size: number;
  readonly root: Uint8Array;
}

/**
 * That the entry with this leaf hash is leaf `index` of the tree. Denials: ERR_LOG_PROOF.
 *
 * @param hashes the leaf's neighbour first
 */
export function verifyInclusion(
  leaf: { readonly index: number; readonly hash: Uint8Array },
  hashes: readonly Uint8Array[],
  head: TreeHead,
): Proved {
  // RFC 9162 §2.1.3.2
  if (leaf.index >= head.size) {
    return refused(`leaf ${leaf.index} is not in a tree of ${head.size}`);
  }
  let fn = leaf.index;
  let sn = head.size - 1;
  let found = leaf.hash;
  for (const hash of hashes) {
    if (sn === 0) return refused(`inclusion proof has more than its ${hashes.length - 1} hashes`);
    if (isOdd(fn) || fn === sn) {
      found = nodeHash(hash, found);
      while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)];
    } else {
      found = nodeHash(found, hash);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  if (sn !== 0) return refused(`inclusion proof of ${hashes.length} hashes ends below the root`);
  return sameRoot('inclusion proof leads', found, head);
}

/**
 * That the later tree has the earlier one as its beginning: nothing was taken out, changed or put in between. Denials:
 * ERR_LOG_PROOF, and ERR_LOG_INCONSISTENT for two roots of one size.
 */
export function verifyConsistency(
  from: TreeHead,
  to: TreeHead,
  hashes: readonly Uint8Array[],
): Proved {
  if (from.size > to.size) {
    return refused(`the first tree has ${from.size} leaves, the second has ${to.size}`);
  }
  if (from.size === to.size || from.size === 0) {
    if (hashes.length > 0) return refused(`consistency proof has ${hashes.length} hashes, not 0`);
    const expected = from.size === 0 ? emptyRoot : to.root;
    if (equalBytes(from.root, expected)) return { ok: true };
    const sides = `"${toHex(from.root)}" and "${toHex(expected)}"`;
    return denial('ERR_LOG_INCONSISTENT', `two roots of a tree of ${from.size} leaves: ${sides}`, {
      size: from.size,
    });
  }
  // RFC 9162 §2.1.4.2
  let fn = from.size - 1;
  let sn = to.size - 1;
  while (isOdd(fn)) [fn, sn] = [half(fn), half(sn)];
  const [first, ...rest] = fn === 0 ? [from.root, ...hashes] : hashes;
  if (first === undefined) return refused('consistency proof has no hashes');
  let [old, fresh] = [first, first];
  for (const hash of rest) {
    if (sn === 0) return refused('consistency proof has more hashes than it needs');
    if (isOdd(fn) || fn === sn) {
      old = nodeHash(hash, old);
      fresh = nodeHash(hash, fresh);
      while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)];
    } else {
      fresh = nodeHash(fresh, hash);
    }
    [fn, sn] = [half(fn), half(sn)];
  }
  if (sn !== 0) return refused(`consistency proof of ${hashes.length} hashes ends below the root`);
  const began = sameRoot('consistency proof begins', old, from);
  return began.ok ? sameRoot('consistency proof leads', fresh, to) : began;
}

function sameRoot(what: string, found: Uint8Array, { size, root }: TreeHead): Proved {
  if (equalBytes(found, root)) return { ok: true };
  const sides = `"${toHex(found)}", the tree of ${size} leaves has root "${toHex(root)}"`;
  return denial('ERR_LOG_PROOF', `${what} to ${sides}`, { size });
}

function refused(detail: string): Denial {
  return denial('ERR_LOG_PROOF', detail);
}

/** Sizes go beyond 32 bits, where the bit operators end. */
function half(n: number): number {
  return Math.floor(n / 2);
}

function isOdd(n: number): boolean {
  return n % 2 === 1;
}
