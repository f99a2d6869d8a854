import { constants } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, resolve } from 'node:path';
import process from 'node:process';
import { CountersignError } from '@countersign/base';

/** Whether the operating system refused, rather than that something is missing or broken. */
export function isRefusedAccess(thrown: unknown): boolean {
  const { code } = thrown as NodeJS.ErrnoException;
  return code === 'EACCES' || code === 'EPERM';
}

/** What is not readable, whose it is, and who tried. */
export async function accessRefused(
  path: string,
  attempted: string,
  cause: unknown,
): Promise<CountersignError> {
  const me = process.getuid?.();
  const { closed, owner, mode } = await firstVisible(resolve(path));
  const whose = `"${closed}" is of user ${owner}, mode ${mode.toString(8).padStart(4, '0')}`;
  const message = `${attempted}: ${whose}, the command runs as ${nameOf(me)}`;
  return new CountersignError('ERR_STATE_ACCESS', message, {
    fields: { path, uid: me, owner },
    hint: `run it as user ${owner}: who may read a data directory holds the authority`,
    cause,
  });
}

/** The path, or the directory on the way to it that lets nobody through. */
async function firstVisible(
  path: string,
): Promise<{ readonly closed: string; readonly owner: number; readonly mode: number }> {
  const found = await stat(path).catch(() => undefined);
  if (found !== undefined) return { closed: path, owner: found.uid, mode: found.mode & 0o7777 };
  return await firstVisible(dirname(path));
}

/**
 * @param how read and write unless given
 * @throws CountersignError ERR_STATE_ACCESS; what is missing is for who opens it to tell
 */
export async function mustBeOpenToUs(
  path: string,
  attempted: string,
  how: 'read' | 'write' = 'write',
): Promise<void> {
  try {
    await access(path, how === 'read' ? constants.R_OK : constants.R_OK | constants.W_OK);
  } catch (thrown) {
    if (isRefusedAccess(thrown)) throw await accessRefused(path, attempted, thrown);
  }
}

function nameOf(uid: number | undefined): string {
  try {
    return `"${userInfo().username}" (${uid})`;
  } catch {
    return `user ${uid}`;
  }
}
