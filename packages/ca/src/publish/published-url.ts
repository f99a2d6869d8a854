import { readFile, rm } from 'node:fs/promises';
import { writeFileDurably } from '@countersign/base';
import { stateLayout } from '../state-layout.ts';

/** Where the server of a data directory publishes, for commands beside it; only true while that server runs. */
export async function publishedUrlOf(data: string): Promise<string | undefined> {
  try {
    return (await readFile(stateLayout(data).publishUrl, 'utf8')).trim();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}

export async function keepPublishedUrl(data: string, url: string | undefined): Promise<void> {
  const file = stateLayout(data).publishUrl;
  if (url === undefined) await rm(file, { force: true });
  else await writeFileDurably(file, `${url}\n`);
}
