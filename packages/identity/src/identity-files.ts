import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  CountersignError,
  type ErrorCode,
  makeDirectory,
  messageOf,
  type PreparedDirectory,
  proveWritable,
  removeMade,
  syncDirectory,
  writeFileDurably,
} from '@countersign/base';
import { makeBundle, makeSvid, type X509Svid } from '@countersign/spiffe';
import {
  type Certificate,
  certificatesFromPem,
  decodePrivateKey,
  encodePem,
  encodePrivateKey,
} from '@countersign/x509';
import { parseAuthorityUrl } from './authority-url.ts';
import type { Identity } from './identity.ts';
import { openPlainFile } from './plain-file.ts';
import type { NamedCertificate } from './prove-named-certificate.ts';

/**
 * An identity's files, and how they change all at once.
 *
 * ```
 * payments/key.pem, cert.pem, chain.pem, bundle.pem, identity.json   symbolic links into .current/, made once
 * payments/.current                                                 symbolic link to .versions/<n>, replaced by a rename
 * payments/.versions/<n>/                                           the files of one version, never changed once written
 * ```
 *
 * So a swap is one rename: killed at any moment, the paths name the files of the old version or of the new one, whole.
 * Durable when {@link writeIdentity} resolved: the files, then the rename, are synced. A swap removes the versions that
 * were written more than ten minutes before, the one that it replaces included, so that old keys do not pile up. A
 * reader that opens several of the files can meet a swap in between: {@link readIdentity} resolves `.current` first
 * and begins again where that version has gone; other programs should read again when told to reload.
 * Copying with `cp -RL` gives plain files, which are read as well.
 */
export const identityFiles = {
  key: 'key.pem',
  cert: 'cert.pem',
  /** Leaf first, without the root. */
  chain: 'chain.pem',
  /** The trust anchors. */
  bundle: 'bundle.pem',
  meta: 'identity.json',
} as const;

const fileNames = Object.values(identityFiles);
const current = '.current';
const versions = '.versions';
const maxFileBytes = 1024 * 1024;

/**
 * Makes sure that an identity can be written there, before a token is spent on it or a certificate is ordered.
 *
 * @throws CountersignError ERR_DESTINATION, or ERR_IDENTITY_FILES where somebody else's files are there; then nothing of
 *   ours is left
 */
export async function prepareIdentityDirectory(directory: string): Promise<PreparedDirectory> {
  const place = await placeIdentityDirectory(directory);
  try {
    await proveWritable(join(directory, versions), `write identity to "${directory}"`);
    return place;
  } catch (thrown) {
    await place.giveUp();
    throw thrown;
  }
}

/** The same without writing to it: for many beside each other, whose parent was proved writable. */
export async function placeIdentityDirectory(directory: string): Promise<PreparedDirectory> {
  const inside = resolve(directory, versions);
  const made = await makePlace(directory).catch((thrown: unknown) => {
    throw failed(`write identity to "${directory}"`, thrown, 'ERR_DESTINATION');
  });
  return { giveUp: () => removeMade(inside, made) };
}

/** The first directory that was made for it. */
async function makePlace(directory: string): Promise<string | undefined> {
  for (const name of fileNames) await checkReplaceable(directory, join(current, name), name);
  await checkReplaceable(directory, join(versions, '<version>'), current);
  return makeDirectory(resolve(directory, versions));
}

export interface FileModes {
  /** Permission bits of what is no secret; 0o644 unless given. The key is 0o600 whatever it is. */
  readonly mode?: number;
}

/** @throws CountersignError ERR_IDENTITY_FILES; the version before is then untouched */
export async function writeIdentity(
  directory: string,
  identity: Identity,
  { mode }: FileModes = {},
): Promise<void> {
  const { svid, bundle, ca } = identity;
  const { spiffeId, chain, privateKey } = svid;
  await swapIn(directory, {
    ...{ chain, privateKey, bundle, mode },
    meta: { spiffeId, trustDomain: bundle.trustDomain, ...(ca === undefined ? {} : { ca }) },
  });
}

/**
 * The same files for a certificate without a SPIFFE ID, which {@link readIdentity} refuses.
 *
 * @throws CountersignError ERR_IDENTITY_FILES; the version before is then untouched
 */
export async function writeNamedCertificate(
  directory: string,
  { chain, privateKey, bundle }: NamedCertificate,
): Promise<void> {
  const meta = { trustDomain: bundle.trustDomain };
  await swapIn(directory, { chain, privateKey, bundle, meta });
}

interface Written extends NamedCertificate {
  readonly mode?: number | undefined;
  readonly meta: Readonly<Record<string, unknown>>;
}

async function swapIn(directory: string, written: Written): Promise<void> {
  const version = randomBytes(8).toString('hex');
  const fresh = join(directory, `${current}-${version}`);
  const linked: string[] = [];
  try {
    await makePlace(directory);
    // 1. a version of its own, that nobody looks at yet
    await writeVersion(join(directory, versions, version), written);
    // 2. the documented paths, once; they lead nowhere before the first swap
    for (const name of fileNames) {
      const path = join(directory, name);
      if (await linkOnce(join(current, name), path)) linked.push(path);
    }
    await syncDirectory(join(directory, versions));
    // 3. the swap
    await symlink(join(versions, version), fresh);
    await rename(fresh, join(directory, current));
  } catch (thrown) {
    // Nobody has looked at any of it; another writer's first swap may have come to rely on the links.
    const links = (await currentVersion(directory).catch(() => '')) === undefined ? linked : [];
    for (const path of [...links, fresh, join(directory, versions, version)]) {
      await rm(path, { recursive: true, force: true }).catch(() => {});
    }
    throw failed(`write identity to "${directory}"`, thrown);
  }
  try {
    await syncDirectory(directory);
    // 4. what nobody can be reading any more, left-overs of a crash included
    await removeOthers(directory, version);
  } catch (thrown) {
    throw failed(`write identity to "${directory}"`, thrown);
  }
}

/**
 * Reads the files of one version, which belong together. The key must be that of the certificate, the bundle that of
 * its trust domain; whether it is valid now is not asked.
 *
 * @throws CountersignError ERR_IDENTITY_FILES; nothing of the key is in it
 */
export async function readIdentity(directory: string): Promise<Identity> {
  const attempted = `read identity from "${directory}"`;
  const versionNow = () =>
    currentVersion(directory).catch((thrown: unknown) => {
      throw failed(attempted, thrown);
    });
  for (let attempt = 1; ; attempt += 1) {
    const version = await versionNow();
    const from = version === undefined ? directory : join(directory, versions, version);
    try {
      return parseFiles(await readFiles(from));
    } catch (thrown) {
      // Two swaps while we were reading: the version that we had resolved is gone.
      const isSwapped = version !== undefined && version !== (await versionNow());
      if (!isSwapped || attempt === 5) throw failed(attempted, thrown);
    }
  }
}

interface Files {
  readonly key: string;
  readonly chain: string;
  readonly bundle: string;
  readonly meta: string | undefined;
}

async function readFiles(directory: string): Promise<Files> {
  const read = (name: string) => readLimited(join(directory, name));
  return {
    key: await read(identityFiles.key),
    chain: await read(identityFiles.chain),
    bundle: await read(identityFiles.bundle),
    meta: await read(identityFiles.meta).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code === 'ENOENT') return undefined;
      throw thrown;
    }),
  };
}

async function readLimited(path: string): Promise<string> {
  const { file, size } = await openPlainFile(path);
  try {
    if (size > maxFileBytes) {
      const sides = `"${path}" has ${size} bytes, at most ${maxFileBytes} are read`;
      throw new CountersignError('ERR_IDENTITY_FILES', sides);
    }
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

function parseFiles(files: Files): Identity {
  const svid = makeSvid(certificatesFromPem(files.chain), decodePrivateKey(files.key));
  const bundle = makeBundle(svid.spiffeId.trustDomain, certificatesFromPem(files.bundle));
  const ca = files.meta === undefined ? undefined : authorityOf(files.meta, svid);
  return { svid, bundle, ...(ca === undefined ? {} : { ca }) };
}

function authorityOf(meta: string, svid: X509Svid): string | undefined {
  const json: unknown = JSON.parse(meta);
  const { spiffeId, ca } = Object(json) as Readonly<Record<string, unknown>>;
  if (spiffeId !== svid.spiffeId.toString()) {
    const sides = `${identityFiles.meta} is for "${spiffeId}", the certificate for "${svid.spiffeId}"`;
    throw new CountersignError('ERR_IDENTITY_FILES', sides);
  }
  return ca === undefined ? undefined : parseAuthorityUrl(String(ca)).origin;
}

async function writeVersion(directory: string, written: Written): Promise<void> {
  const { chain, privateKey, bundle, meta, mode: usual = 0o644 } = written;
  await mkdir(directory);
  const write = (name: string, text: string, mode = usual) =>
    writeFileDurably(join(directory, name), text, { mode });
  await write(identityFiles.key, encodePrivateKey(privateKey), 0o600);
  await write(identityFiles.cert, pemOf([chain[0]]));
  await write(identityFiles.chain, pemOf(chain));
  await write(identityFiles.bundle, pemOf(bundle.authorities));
  await write(identityFiles.meta, `${JSON.stringify(meta, undefined, 2)}\n`);
}

function pemOf(certificates: readonly Certificate[]): string {
  return certificates.map((each) => encodePem('CERTIFICATE', each.raw)).join('');
}

/** The name of the version that the paths lead to; undefined before the first swap, and in a plain copy. */
async function currentVersion(directory: string): Promise<string | undefined> {
  try {
    const target = await readlink(join(directory, current));
    const version = versionOf(target);
    if (version !== undefined) return version;
    throw new CountersignError('ERR_IDENTITY_FILES', `"${current}" leads to "${target}"`);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw thrown;
  }
}

function versionOf(target: string): string | undefined {
  return /^\.versions\/([0-9a-f]{16})$/.exec(target)?.[1];
}

/** Somebody else's file of that name is theirs: it is not replaced. */
async function checkReplaceable(directory: string, ours: string, name: string): Promise<void> {
  const path = join(directory, name);
  const target = await readlink(path).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return ours;
    if (thrown.code === 'EINVAL') return 'no link';
    throw thrown;
  });
  if (target === ours || (name === current && versionOf(target) !== undefined)) return;
  throw new CountersignError(
    'ERR_IDENTITY_FILES',
    `"${path}" is there already and was not written by countersign`,
    { hint: 'move it away, or choose another directory' },
  );
}

/** Whether it was made now. */
async function linkOnce(target: string, path: string): Promise<boolean> {
  return await symlink(target, path).then(
    () => true,
    (thrown: NodeJS.ErrnoException) => {
      if (thrown.code === 'EEXIST') return false;
      throw thrown;
    },
  );
}

/** Younger versions stay: one may be another writer's that is not swapped in yet. */
const keptMs = 600_000;

async function removeOthers(directory: string, version: string): Promise<void> {
  const inside = join(directory, versions);
  const now = (await stat(join(inside, version))).mtimeMs;
  const isOld = async (path: string) => now - (await lstat(path)).mtimeMs > keptMs;
  const links = (await readdir(directory)).filter((name) => name.startsWith(`${current}-`));
  const others = (await readdir(inside)).filter((name) => name !== version);
  const paths = [
    ...links.map((name) => join(directory, name)),
    ...others.map((name) => join(inside, name)),
  ];
  for (const path of paths) {
    // Another writer may have removed it first.
    if (await isOld(path).catch(() => false)) await rm(path, { recursive: true, force: true });
  }
}

/** @param code of what is none of ours */
function failed(
  attempted: string,
  thrown: unknown,
  code: ErrorCode = 'ERR_IDENTITY_FILES',
): CountersignError {
  if (!(thrown instanceof CountersignError)) {
    return new CountersignError(code, `${attempted}: ${messageOf(thrown)}`, { cause: thrown });
  }
  if (thrown.message.startsWith(attempted)) return thrown;
  const { hint } = thrown;
  const message = `${attempted}: ${thrown.message}`;
  return new CountersignError('ERR_IDENTITY_FILES', message, { hint, cause: thrown });
}
