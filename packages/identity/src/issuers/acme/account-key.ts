import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { access, link, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CountersignError, messageOf, syncDirectory } from '@countersign/base';
import { openPlainFile } from '../../plain-file.ts';

/**
 * The key of an ACME account, in a file that nobody else can read; made where there is none. Who has it can have
 * certificates for whatever the account proved before.
 *
 * @throws CountersignError ERR_ISSUER_SECRET for a file that others may read, or that holds no key
 */
export async function accountKey(path: string): Promise<KeyObject> {
  try {
    return (await makeKey(path)) ?? (await readKey(path));
  } catch (thrown) {
    if (thrown instanceof CountersignError) throw thrown;
    const message = `account key in "${path}": ${messageOf(thrown)}`;
    throw new CountersignError('ERR_ISSUER_SECRET', message, { cause: thrown });
  }
}

/** Undefined where there is one already. Whole or not at all: it is written beside, synced, and linked to its name. */
async function makeKey(path: string): Promise<KeyObject | undefined> {
  if (await isThere(path)) return undefined;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const beside = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const file = await open(beside, 'wx', 0o600);
    try {
      await file.writeFile(privateKey.export({ type: 'pkcs8', format: 'pem' }));
      await file.sync();
    } finally {
      await file.close();
    }
    await link(beside, path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return undefined;
    throw thrown;
  } finally {
    await rm(beside, { force: true });
  }
  await syncDirectory(dirname(path));
  return privateKey;
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

async function readKey(path: string): Promise<KeyObject> {
  const { file, mode } = await openPlainFile(path);
  try {
    if ((mode & 0o077) !== 0) {
      const sides = `has mode 0${mode.toString(8)}, expected 0600`;
      throw new CountersignError('ERR_ISSUER_SECRET', `account key in "${path}" ${sides}`, {
        hint: `chmod 600 ${path}`,
      });
    }
    const text = await file.readFile('utf8');
    try {
      return createPrivateKey(text);
    } catch {
      throw new CountersignError('ERR_ISSUER_SECRET', `account key in "${path}": no private key`);
    }
  } finally {
    await file.close();
  }
}
