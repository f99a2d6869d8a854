import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CountersignError } from '@countersign/base';
import { identityFiles } from './identity-files.ts';

/**
 * Whether an identity may be written over what is in a directory: over none, or over one of the same SPIFFE ID. Whoever
 * uses the files would be somebody else from one moment to the next. What cannot be read is nobody's.
 *
 * @param spiffeId of what is to be written; undefined for a certificate without one
 * @throws CountersignError ERR_DESTINATION with both
 */
export async function proveSameHolder(
  directory: string,
  spiffeId: string | undefined,
): Promise<void> {
  const held = await heldBy(directory);
  if (held === undefined || held === spiffeId) return;
  const wanted = spiffeId === undefined ? 'a certificate without a SPIFFE ID' : `"${spiffeId}"`;
  throw new CountersignError(
    'ERR_DESTINATION',
    `write identity to "${directory}": it holds "${held}", to be written is ${wanted}`,
    {
      fields: { directory, held, spiffeId },
      hint: 'choose another directory, or say --replace where the other is not needed any more',
    },
  );
}

async function heldBy(directory: string): Promise<string | undefined> {
  try {
    const { spiffeId } = JSON.parse(await readFile(join(directory, identityFiles.meta), 'utf8'));
    return typeof spiffeId === 'string' ? spiffeId : undefined;
  } catch {
    return undefined;
  }
}
