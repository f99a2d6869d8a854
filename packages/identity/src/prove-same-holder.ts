import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CountersignError } from '@countersign/base';
import { parseSpiffeId, type SpiffeId } from '@countersign/spiffe';
import { identityFiles } from './identity-files.ts';

/**
 * Whether an identity may be written over what is in a directory: over none, or over one of the same SPIFFE ID. Whoever
 * uses the files would be somebody else from one moment to the next. What cannot be read is nobody's.
 *
 * @param spiffeId of what is to be written; undefined for a certificate without one
 * @param hint where there is no --replace
 * @throws CountersignError ERR_DESTINATION with both
 */
export async function proveSameHolder(
  directory: string,
  spiffeId: string | undefined,
  hint?: string,
): Promise<void> {
  const held = (await holderOf(directory))?.toString();
  if (held === undefined || held === spiffeId) return;
  const wanted = spiffeId === undefined ? 'a certificate without a SPIFFE ID' : `"${spiffeId}"`;
  throw anotherHolder(directory, held, `to be written is ${wanted}`, undefined, hint);
}

/** Whose identity a directory holds; undefined where it holds none, or none that can be read. */
export async function holderOf(directory: string): Promise<SpiffeId | undefined> {
  try {
    const { spiffeId } = JSON.parse(await readFile(join(directory, identityFiles.meta), 'utf8'));
    return parseSpiffeId(spiffeId);
  } catch {
    return undefined;
  }
}

/** Whom a request names, so that the authority refuses what would write over another's identity. */
export async function holderToKeep({
  out,
  replace,
}: {
  readonly out?: string;
  readonly replace?: boolean;
}): Promise<SpiffeId | undefined> {
  return out === undefined || replace === true ? undefined : await holderOf(out);
}

export function anotherHolder(
  directory: string,
  held: string,
  other: string,
  cause?: unknown,
  hint = 'choose another directory, or say --replace where the other is not needed any more',
): CountersignError {
  return new CountersignError(
    'ERR_DESTINATION',
    `write identity to "${directory}": it holds "${held}", ${other}`,
    {
      fields: { directory, held },
      hint,
      cause,
    },
  );
}
