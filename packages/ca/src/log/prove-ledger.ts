import { counted, equalBytes, toHex } from '@countersign/base';
import { type Checkpoint, leafHash, TreeFrontier } from '@countersign/wire';
import type { Ledger } from '../ledger/ledger.ts';

/** Whether the first certificates of the ledger are those that the checkpoint commits to. */
export async function proveLedger(
  ledger: Ledger,
  head: Checkpoint,
): Promise<{ readonly ok: true } | { readonly ok: false; readonly wrong: string }> {
  const tree = new TreeFrontier();
  let position = 0;
  while (tree.size < head.size) {
    const page = await ledger.recordsAfter(position, 1000);
    const last = page.at(-1);
    if (last === undefined) {
      const sides = `the ledger has ${tree.size}`;
      return {
        ok: false,
        wrong: `it was signed for ${counted(head.size, 'certificate')}, ${sides}`,
      };
    }
    position = last.position;
    for (const record of page) {
      if (record.kind === 'issued' && tree.size < head.size) tree.append(leafHash(record.der));
    }
  }
  if (equalBytes(tree.root, head.root)) return { ok: true };
  const sides = `"${toHex(head.root)}", the first ${head.size} certificates of the ledger lead to "${toHex(tree.root)}"`;
  return { ok: false, wrong: `it was signed with root ${sides}` };
}
