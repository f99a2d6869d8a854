import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CountersignError, writeFileDurably } from '@countersign/base';
import type { RotationCarriedRequest, RotationResponse } from '@countersign/wire';
import type { Cli } from '../cli.ts';
import { readInput } from '../read-input.ts';
import { formatRfc3339 } from '../rfc3339.ts';

/** What was carried from an offline root: files, and directories of `.pem` files. */
export async function readCarried(
  cli: Cli,
  given: readonly string[],
): Promise<{ readonly file: string; readonly text: string }[]> {
  const files: string[] = [];
  for (const each of given) {
    const found = await filesOf(each, '.pem');
    if (found.length === 0) {
      const message = `take what was carried in "${each}": no file in it ends with .pem`;
      throw new CountersignError('ERR_FILE', message);
    }
    files.push(...found);
  }
  const read: { readonly file: string; readonly text: string }[] = [];
  for (const file of files) {
    const bytes = await readInput(cli, file, 'read what was carried');
    read.push({ file, text: Buffer.from(bytes).toString('utf8') });
  }
  return read;
}

/** The file itself, or what a directory holds with that ending, in the order of the names. */
export async function filesOf(given: string, ending: string): Promise<string[]> {
  const isDirectory = await stat(given).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isDirectory) return [given];
  const names = (await readdir(given)).filter((name) => name.endsWith(ending)).sort();
  return names.map((name) => join(given, name));
}

/** Durable when it resolves; what is there already stays as it is. */
export async function writeRequests(
  requests: readonly RotationCarriedRequest[],
  directory: string,
): Promise<void> {
  if (requests.length > 0) await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const { file, text } of requests) {
    const path = join(directory, file);
    const found = await readFile(path, 'utf8').catch(() => undefined);
    if (found !== text) await writeFileDurably(path, text);
  }
}

/** Takes requests away that wait no more, lest they are carried and signed. Of a directory that holds nothing else. */
export async function tidyRequests(waiting: readonly string[], directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    if (name.endsWith('.csr') && !waiting.includes(name)) await rm(join(directory, name));
  }
}

/** The record of what goes to an offline root and of what came back, and the commands there. */
export function carriedText(
  cli: Cli,
  {
    authority,
    requests = [],
    taken = [],
  }: Pick<RotationResponse, 'authority' | 'requests' | 'taken'>,
  { out, who }: { readonly out: string; readonly who: readonly string[] },
): string {
  if (requests.length + taken.length === 0) return '';
  const rows: (readonly [string, string])[] = [
    ['act', taken.length > 0 ? 'certificates taken' : 'requests written'],
    ['when', formatRfc3339(cli.clock.now())],
    ['who', who.join(', ')],
    ...taken.flatMap(({ subject, by, serial, sha256 }): (readonly [string, string])[] => [
      ['taken', `"${subject}" by "${by}", serial ${serial}`],
      ['certificate SHA-256', sha256],
    ]),
    ...requests.flatMap(({ file, by, issuerKey, sha256 }): (readonly [string, string])[] => [
      ['waits', `${join(out, file)} for "${by}", key ${issuerKey}`],
      ['request SHA-256', sha256],
    ]),
  ];
  const record = rows.map(([name, value]) => `  ${name.padEnd(20)}${value}`).join('\n');
  const roots = new Set(requests.flatMap(({ file }) => (file.startsWith('root') ? [file] : [])));
  const other = roots.size > 0 ? ' [--other-root DIR]' : '';
  const which = authority === 'root' ? '' : ` --intermediate ${authority}`;
  const next =
    requests.length === 0
      ? ''
      : `carry "${out}" to each root that signs, and there:\n` +
        `  countersign sign --root DIR${other} --csr ${out} --out SIGNED --by NAME\n` +
        `then here: countersign root prepare${which} --import SIGNED\n`;
  return `ceremony record\n${record}\n${next}`;
}
