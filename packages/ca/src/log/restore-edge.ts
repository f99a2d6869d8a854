import { equalBytes, messageOf, toHex } from '@countersign/base';
import {
  type Checkpoint,
  type LogSource,
  leafHash,
  levelsOf,
  readTile,
  tilesAtLevel,
  tileWidth,
} from '@countersign/wire';
import { parseCertificate } from '@countersign/x509';
import type { Ledger } from '../ledger/ledger.ts';
import { LogEdge } from './log-edge.ts';

export type Restored =
  | { readonly ok: true; readonly edge: LogEdge; readonly position: number }
  /** Why the files cannot be gone on from, as a fragment. */
  | { readonly ok: false; readonly wrong: string };

/** The right edge of a log as it was signed, and the ledger position of its last leaf. */
export async function restoreEdge(
  source: LogSource,
  head: Checkpoint,
  ledger: Ledger,
): Promise<Restored> {
  if (head.size === 0) return { ok: true, edge: new LogEdge(), position: 0 };
  try {
    // 1. the last tile of each level, and the last bundle
    const levels: Uint8Array[][] = [];
    for (let level = 0; level < levelsOf(head.size); level += 1) {
      levels.push(await lastOf(source, level, head.size));
    }
    const last = await lastOf(source, 'entries', head.size);
    // 2. entries lead to their hashes, and these to the root that was signed
    const partial = levels.map((hashes) => (hashes.length === tileWidth ? [] : hashes));
    const entries = last.length === tileWidth ? [] : last;
    const wrongEntry = last.findIndex(
      (entry, i) => !equalBytes(leafHash(entry), levels[0]?.[i] ?? new Uint8Array()),
    );
    if (wrongEntry >= 0) {
      const index = head.size - last.length + wrongEntry;
      return { ok: false, wrong: `entry ${index} is not what its hash commits to` };
    }
    const edge = new LogEdge(head.size, partial, entries);
    const { root } = edge.head();
    if (!equalBytes(root, head.root)) {
      const sides = `lead to root "${toHex(root)}", its checkpoint of ${head.size} has "${toHex(head.root)}"`;
      return { ok: false, wrong: `the last tiles ${sides}` };
    }
    // 3. where in the ledger the last leaf is
    const entry = last.at(-1) ?? new Uint8Array();
    const { serialHex } = parseCertificate(entry);
    const record = await ledger.certificate(serialHex);
    if (record !== undefined && equalBytes(record.der, entry)) {
      return { ok: true, edge, position: record.position };
    }
    const found = record === undefined ? 'is not in the ledger' : 'is another in the ledger';
    return { ok: false, wrong: `the last certificate of the log, serial "${serialHex}", ${found}` };
  } catch (thrown) {
    return { ok: false, wrong: messageOf(thrown) };
  }
}

/** Of the last tile, be it full or not. */
function lastOf(source: LogSource, level: number | 'entries', size: number): Promise<Uint8Array[]> {
  return readTile(source, { level, index: tilesAtLevel(level, size) - 1 }, size);
}
