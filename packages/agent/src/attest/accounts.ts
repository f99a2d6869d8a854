import { readFile, stat } from 'node:fs/promises';

interface ReadAccounts {
  readonly stamp: string;
  readonly names: ReadonlyMap<number, string>;
}

const known = new Map<string, ReadAccounts>();

/** The name of a user or group in the machine's own list; accounts of a directory service have none here. */
export async function accountName(
  file: '/etc/passwd' | '/etc/group',
  id: number,
): Promise<string | undefined> {
  const { mtimeMs, size, ino } = await stat(file);
  const stamp = `${mtimeMs} ${size} ${ino}`;
  const held = known.get(file);
  if (held?.stamp === stamp) return held.names.get(id);
  const names = parseAccounts(await readFile(file, 'utf8'));
  known.set(file, { stamp, names });
  return names.get(id);
}

/** The first name of each number, as the system's own look-up answers. */
function parseAccounts(text: string): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [name = '', , id = ''] = line.split(':');
    if (name === '' || !/^\d+$/.test(id) || names.has(Number(id))) continue;
    names.set(Number(id), name);
  }
  return names;
}
