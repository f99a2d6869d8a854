import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf, writeFileDurably } from '@countersign/base';
import { formatEntryList, parseEntryList, type RegisteredEntry } from '@countersign/wire';

/** What the data directory knows of the entries: for backups, whose ledger has records alone. */
export async function readEntriesCopy(
  file: string | undefined,
): Promise<readonly RegisteredEntry[] | undefined> {
  if (file === undefined) return undefined;
  try {
    return parseEntryList(JSON.parse(await readFile(file, 'utf8')));
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new CountersignError('ERR_STATE_BROKEN', `read "${file}": ${messageOf(thrown)}`, {
      fields: { file },
      cause: thrown,
    });
  }
}

export async function writeEntriesCopy(
  file: string | undefined,
  entries: readonly RegisteredEntry[],
): Promise<void> {
  if (file === undefined) return;
  await writeFileDurably(file, `${formatEntryList(entries)}\n`, { mode: 0o600 });
}
