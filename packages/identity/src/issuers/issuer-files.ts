import { CountersignError, messageOf, Secret } from '@countersign/base';
import { certificatesFromPem } from '@countersign/x509';
import { openPlainFile, tooOpen } from '../plain-file.ts';
import type { RootsSource, SecretSource } from './issuer.ts';

const mostBytes = 1024 * 1024;

/**
 * The secret in a file, without the line end that editors put behind it.
 *
 * @throws CountersignError ERR_ISSUER_SECRET at a use; nothing of the secret is in it
 */
export function secretOfFile(path: string, what: string): SecretSource {
  return async function readSecretFile() {
    const text = await readText(path).catch((thrown: unknown) => {
      throw missing(`${what} in "${path}": ${messageOf(thrown)}`, thrown);
    });
    const secret = text.replace(/\r?\n$/, '');
    if (secret !== '') return new Secret(secret);
    throw missing(`${what} in "${path}": the file is empty`);
  };
}

/** @throws CountersignError ERR_ISSUER_ROOT at a use */
export function rootsOfFile(path: string): RootsSource {
  return async function readRootsFile() {
    try {
      const roots = certificatesFromPem(await readText(path));
      if (roots.length > 0) return roots;
      throw new Error('no certificate in it');
    } catch (thrown) {
      const message = `roots in "${path}": ${messageOf(thrown)}`;
      throw new CountersignError('ERR_ISSUER_ROOT', message, { cause: thrown });
    }
  };
}

/** The whole of a file of at most 1 MiB. */
export async function readText(path: string): Promise<string> {
  return (await readOpened(path)).text;
}

/** The same of one that holds a private key: one that everybody may read is refused. */
export async function readPrivateText(path: string): Promise<string> {
  const { text, mode } = await readOpened(path);
  const why = tooOpen({ mode });
  if (why !== undefined) throw new Error(why);
  return text;
}

export async function readOpened(
  path: string,
): Promise<{ readonly text: string; readonly mode: number }> {
  const { file, size, mode } = await openPlainFile(path);
  try {
    if (size > mostBytes) throw new Error(`it has ${size} bytes, at most ${mostBytes} are read`);
    return { text: await file.readFile('utf8'), mode };
  } finally {
    await file.close();
  }
}

function missing(message: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_ISSUER_SECRET', message, { cause });
}
