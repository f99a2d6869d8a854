import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { CountersignError } from '@countersign/base';
import type { Output } from './kept-certificate.ts';

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

const run = promisify(execFile);
/** The machine's own word: local files, LDAP, whatever it is set up with. */
const known = new Map<string, number>();

/**
 * The numbers of an output's owner and group; undefined where its entry names neither.
 *
 * @throws CountersignError ERR_KEEP_OWNER for a name that nobody has
 */
export async function ownerOf({ owner, group }: Output): Promise<Partial<FileOwner> | undefined> {
  if (owner === undefined && group === undefined) return undefined;
  return {
    ...(owner === undefined ? {} : { uid: await numberOf('passwd', owner) }),
    ...(group === undefined ? {} : { gid: await numberOf('group', group) }),
  };
}

async function numberOf(base: 'passwd' | 'group', name: string): Promise<number> {
  if (/^\d+$/.test(name)) return Number(name);
  const key = `${base} ${name}`;
  const found = known.get(key) ?? (await look(base, name));
  known.set(key, found);
  return found;
}

async function look(base: 'passwd' | 'group', name: string): Promise<number> {
  try {
    const { stdout } = await run('getent', [base, '--', name], { timeout: 10_000 });
    const number = Number(stdout.split(':')[2]);
    if (Number.isInteger(number) && stdout !== '') return number;
  } catch {
    // It ends with 2 for what it does not find.
  }
  const kind = base === 'passwd' ? 'user' : 'group';
  throw new CountersignError('ERR_KEEP_OWNER', `there is no ${kind} "${name}" on this machine`);
}
