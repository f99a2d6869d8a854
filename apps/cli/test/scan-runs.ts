import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { countersign } from './in-process.ts';

export interface Found {
  readonly path: string;
  readonly form: string;
  readonly encrypted: boolean;
  readonly line?: number;
  readonly spkiHash?: string;
  readonly exposures: readonly { readonly kind: string }[];
  readonly certificates?: readonly { readonly spiffeId?: string; readonly status: string }[];
  readonly revoke?: string;
}

export interface Scanned {
  readonly findings: readonly Found[];
  readonly others: readonly Found[];
  readonly unread: readonly { path: string; reason: string; code: string }[];
  readonly revocations?: readonly { value: string; matched: number; dryRun: boolean }[];
}

/** What `scan -o json` answers, when it ends with this code. */
export async function scan(words: readonly string[], code: number): Promise<Scanned> {
  const ran = await countersign(['scan', ...words, '-o', 'json']);
  assert.equal(ran.code, code, ran.stdout + ran.stderr);
  return JSON.parse(ran.stdout) as Scanned;
}

export async function done(words: readonly string[]): Promise<string> {
  const ran = await countersign(words);
  assert.equal(ran.code, 0, ran.stderr);
  return ran.stdout;
}

export async function put(path: string, content: string | Uint8Array, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  await chmod(path, mode);
}
