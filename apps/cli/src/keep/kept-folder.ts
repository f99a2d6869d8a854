import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import {
  access,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CountersignError, messageOf, syncDirectory, writeFileDurably } from '@countersign/base';
import type { NamedCertificate } from '@countersign/identity';
import { makeBundle } from '@countersign/spiffe';
import { certificatesFromPem, decodePrivateKey } from '@countersign/x509';
import { type FileOwner, ownerOf } from './file-owner.ts';
import type { KeptCertificate, Output } from './kept-certificate.ts';
import { digestOf, outputBytes, readPassword } from './output-bytes.ts';

/** A certificate, and since when it is here: its notBefore may have been set back. */
export interface Obtained extends NamedCertificate {
  readonly obtainedAt: number;
}

/**
 * What an entry has on disk.
 *
 * ```
 * FOLDER/tls.crt, tls.key, …     symbolic links into .current/, made once
 * FOLDER/.current                symbolic link to .versions/<n>, replaced by a rename
 * FOLDER/.versions/<n>/          the files of one version, and state.json: since when, and the SHA-256 of every output
 * FOLDER/.outcome.json           what became of the command and the probe for which serial
 * ```
 *
 * So the outputs in a folder change all at once. Each one elsewhere is replaced by a rename, after the folder; what a crash
 * leaves behind is found by its digest at the next look, and written again.
 */
export interface OnDisk extends Obtained {
  /** By path, of what was written. */
  readonly digests: Readonly<Record<string, string>>;
}

const current = '.current';
const versions = '.versions';
const stateName = 'state.json';
const outcomeName = '.outcome.json';
const keptMs = 600_000;

/** The certificate of a folder; undefined where there is none, or none that can be read. */
export async function readFolder(
  kept: KeptCertificate,
  trustDomain: string,
): Promise<OnDisk | undefined> {
  try {
    const version = join(kept.folder, await readlink(join(kept.folder, current)));
    const read = (formats: readonly string[]) => {
      const found = kept.outputs.find((each) => each.isInFolder && formats.includes(each.format));
      if (found === undefined) throw new Error(`no output of format ${formats.join()}`);
      return readFile(join(version, basename(found.path)), 'utf8');
    };
    const privateKey = decodePrivateKey(await read(['key', 'key-traditional']));
    const [leaf, ...rest] = certificatesFromPem(await read(['chain']));
    if (leaf === undefined) return undefined;
    const bundle = makeBundle(trustDomain, certificatesFromPem(await read(['bundle'])));
    const { obtainedAt, digests } = JSON.parse(await readFile(join(version, stateName), 'utf8'));
    return { privateKey, chain: [leaf, ...rest], bundle, digests, obtainedAt };
  } catch {
    return undefined;
  }
}

/** Outputs that are not as they were written: missing, changed by somebody, of another owner or mode. */
export async function staleOutputs(kept: KeptCertificate, onDisk: OnDisk): Promise<Output[]> {
  const stale: Output[] = [];
  for (const output of kept.outputs) {
    if (!(await isAsWritten(output, onDisk.digests[output.path]))) stale.push(output);
  }
  return stale;
}

/**
 * Makes sure that an entry's files can be written, before a certificate is ordered for them.
 *
 * @throws CountersignError ERR_KEEP_FILES, ERR_KEEP_OWNER, ERR_KEEP_PASSWORD
 */
export async function checkOutputs({ name, outputs }: KeptCertificate): Promise<void> {
  for (const output of outputs) {
    await ownerOf(output);
    if (output.passwordFile !== undefined) await readPassword(output.passwordFile);
    if (output.isInFolder) continue;
    await access(dirname(output.path), constants.W_OK).catch((thrown: unknown) => {
      const message = `write "${output.path}" of "${name}": ${messageOf(thrown)}`;
      throw new CountersignError('ERR_KEEP_FILES', message, { cause: thrown });
    });
  }
}

/** @throws CountersignError ERR_KEEP_FILES, ERR_KEEP_OWNER, ERR_KEEP_PASSWORD; the folder is then as before */
export async function writeOutputs(
  kept: KeptCertificate,
  certificate: Obtained,
  now: number,
): Promise<void> {
  // 1. everything is made before anything is replaced
  const made = await Promise.all(
    kept.outputs.map(async (output) => ({
      output,
      bytes: await outputBytes(output, certificate, now),
      owner: await ownerOf(output),
    })),
  );
  const digests = Object.fromEntries(
    made.map(({ output, bytes }) => [output.path, digestOf(bytes)]),
  );
  try {
    // 2. the folder, in one step
    const inside = made.filter(({ output }) => output.isInFolder);
    const { obtainedAt } = certificate;
    await swapFolder(kept.folder, inside, JSON.stringify({ obtainedAt, digests }));
    // 3. the others, one by one
    for (const each of made) {
      if (!each.output.isInFolder) await place(each.output.path, each);
    }
  } catch (thrown) {
    if (thrown instanceof CountersignError) throw thrown;
    const message = `write the files of "${kept.name}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_KEEP_FILES', message, { cause: thrown });
  }
}

/** What became of the command and the probe, so that a later look knows what is left to do. */
export interface Outcome {
  readonly serial: string;
  readonly isCommandDone: boolean;
  readonly isProved: boolean;
}

export async function readOutcome(folder: string): Promise<Outcome | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, outcomeName), 'utf8')) as Outcome;
  } catch {
    return undefined;
  }
}

export async function writeOutcome(folder: string, outcome: Outcome): Promise<void> {
  await writeFileDurably(join(folder, outcomeName), `${JSON.stringify(outcome)}\n`);
}

interface MadeOutput {
  readonly output: Output;
  readonly bytes: Uint8Array;
  readonly owner: Partial<FileOwner> | undefined;
}

async function swapFolder(
  folder: string,
  made: readonly MadeOutput[],
  state: string,
): Promise<void> {
  const version = randomBytes(8).toString('hex');
  const inside = join(folder, versions, version);
  await mkdir(inside, { recursive: true });
  for (const each of made) await place(join(inside, basename(each.output.path)), each);
  await writeFileDurably(join(inside, stateName), state);
  for (const { output } of made) await linkOnce(folder, basename(output.path));
  const fresh = join(folder, `${current}-${version}`);
  await symlink(join(versions, version), fresh);
  await rename(fresh, join(folder, current));
  await syncDirectory(folder);
  await removeOld(join(folder, versions), version);
}

/** Written beside, given to its owner, synced, and renamed: whoever reads sees the old one or the new. */
async function place(path: string, { output, bytes, owner }: MadeOutput): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(bytes);
      if (owner !== undefined) await file.chown(owner.uid ?? -1, owner.gid ?? -1);
      await file.chmod(output.mode);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
  await syncDirectory(dirname(path));
}

async function linkOnce(folder: string, name: string): Promise<void> {
  const target = join(current, name);
  const path = join(folder, name);
  await symlink(target, path).catch(async (thrown: NodeJS.ErrnoException) => {
    const found = await readlink(path).catch(() => undefined);
    if (thrown.code === 'EEXIST' && found === target) return;
    const reason = thrown.code === 'EEXIST' ? 'is there already, and not of ours' : thrown.message;
    throw new CountersignError('ERR_KEEP_FILES', `"${path}" ${reason}`, {
      hint: 'move it away, or name another folder',
    });
  });
}

/** Readers of the version before may be under way. */
async function removeOld(inside: string, version: string): Promise<void> {
  const now = (await stat(join(inside, version))).mtimeMs;
  for (const name of await readdir(inside)) {
    const path = join(inside, name);
    const madeAt = (await lstat(path).catch(() => undefined))?.mtimeMs ?? now;
    if (name !== version && now - madeAt > keptMs) await rm(path, { recursive: true, force: true });
  }
}

async function isAsWritten(output: Output, digest: string | undefined): Promise<boolean> {
  try {
    const found = await stat(output.path);
    const owner = await ownerOf(output);
    const isOwned =
      (owner?.uid ?? found.uid) === found.uid && (owner?.gid ?? found.gid) === found.gid;
    if (!isOwned || (found.mode & 0o777) !== output.mode) return false;
    return digestOf(await readFile(output.path)) === digest;
  } catch (thrown) {
    if (thrown instanceof CountersignError) throw thrown;
    return false;
  }
}
