import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

export interface OpenedFile {
  readonly file: FileHandle;
  readonly size: number;
  /** Permission bits. */
  readonly mode: number;
}

/**
 * Opens a file to read it. What is none is refused and not waited for, such as a pipe that nobody writes to.
 *
 * @throws Error with the reason alone
 */
export async function openPlainFile(path: string): Promise<OpenedFile> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await file.stat();
    if (!found.isFile()) throw new Error('it is no plain file');
    return { file, size: found.size, mode: found.mode & 0o777 };
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

/** Why a file with a private key is not kept as one; undefined where only its owner and group may read it. */
export function tooOpen({ mode }: Pick<OpenedFile, 'mode'>): string | undefined {
  if ((mode & 0o004) === 0) return undefined;
  return `everybody may read it, mode 0${mode.toString(8)}, expected 0600`;
}
