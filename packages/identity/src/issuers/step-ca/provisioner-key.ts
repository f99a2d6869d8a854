import { createDecipheriv, createPrivateKey, type KeyObject, pbkdf2Sync } from 'node:crypto';
import { CountersignError } from '@countersign/base';
import { tooOpen } from '../../plain-file.ts';
import type { SecretSource } from '../issuer.ts';
import { readOpened } from '../issuer-files.ts';
import { thumbprint } from '../jws.ts';

export interface ProvisionerKey {
  readonly key: KeyObject;
  readonly kid: string;
}

/** RFC 7518 §4.8.1.2: more iterations than this are somebody's attempt to keep us busy. */
const mostIterations = 5_000_000;

/**
 * The private key of a JWK provisioner: a JWK, or the encrypted form that `step crypto jwk create` writes and step-ca
 * shows as `encryptedKey` (JWE: PBES2-HS256+A128KW with A256GCM or A128GCM), compact or as JSON.
 *
 * @throws CountersignError ERR_ISSUER_SECRET; nothing of key or password is in it
 */
export async function readProvisionerKey(
  file: string,
  password: SecretSource | undefined,
): Promise<ProvisionerKey> {
  const what = `key of the provisioner in "${file}"`;
  const { text, mode } = await readOpened(file).catch((thrown: NodeJS.ErrnoException) => {
    throw unusable(`${what}: ${thrown.code ?? thrown.message}`);
  });
  const jwe = jweOf(text.trim());
  const why = jwe === undefined ? tooOpen({ mode }) : undefined;
  if (why !== undefined) throw unusable(`${what}: ${why}`, `chmod 600 ${file}`);
  if (jwe !== undefined && password === undefined) {
    throw unusable(`${what} is encrypted, and no password is given`);
  }
  const plain = jwe === undefined ? text : decrypt(jwe, (await password?.())?.reveal() ?? '', what);
  try {
    const jwk = JSON.parse(plain) as { kid?: unknown };
    const key = createPrivateKey({ key: jwk as never, format: 'jwk' });
    return { key, kid: typeof jwk.kid === 'string' ? jwk.kid : thumbprint(key) };
  } catch {
    throw unusable(`${what} is no private JWK`);
  }
}

interface Jwe {
  readonly head: string;
  readonly wrapped: string;
  readonly iv: string;
  readonly ciphertext: string;
  readonly tag: string;
}

function jweOf(text: string): Jwe | undefined {
  const parts = text.split('.');
  if (parts.length === 5) {
    const [head = '', wrapped = '', iv = '', ciphertext = '', tag = ''] = parts;
    return { head, wrapped, iv, ciphertext, tag };
  }
  try {
    const { protected: head, encrypted_key: wrapped, iv, ciphertext, tag } = JSON.parse(text);
    const all = [head, wrapped, iv, ciphertext, tag];
    if (!all.every((each) => typeof each === 'string')) return undefined;
    return { head, wrapped, iv, ciphertext, tag };
  } catch {
    return undefined;
  }
}

function decrypt(jwe: Jwe, password: string, what: string): string {
  const bytes = (text: string) => Buffer.from(text, 'base64url');
  const head = readHead(jwe.head, what);
  const gcm = { A256GCM: 'aes-256-gcm', A128GCM: 'aes-128-gcm' }[head.enc];
  if (head.alg !== 'PBES2-HS256+A128KW' || gcm === undefined) {
    throw unusable(
      `${what} is encrypted by ${head.alg} and ${head.enc}, read is PBES2-HS256+A128KW with A256GCM or A128GCM`,
    );
  }
  if (!(head.p2c >= 1 && head.p2c <= mostIterations)) {
    throw unusable(`${what} wants ${head.p2c} iterations, at most ${mostIterations} are done`);
  }
  try {
    // RFC 7518 §4.8.1.1: the salt is the algorithm's name, a zero octet and p2s.
    const salt = Buffer.concat([Buffer.from(head.alg), Buffer.alloc(1), bytes(head.p2s)]);
    const derived = pbkdf2Sync(password, salt, head.p2c, 16, 'sha256');
    const unwrap = createDecipheriv('aes128-wrap', derived, Buffer.alloc(8, 0xa6));
    const key = Buffer.concat([unwrap.update(bytes(jwe.wrapped)), unwrap.final()]);
    const open = createDecipheriv(gcm as 'aes-256-gcm', key, bytes(jwe.iv), { authTagLength: 16 });
    open.setAAD(Buffer.from(jwe.head));
    open.setAuthTag(bytes(jwe.tag));
    return Buffer.concat([open.update(bytes(jwe.ciphertext)), open.final()]).toString('utf8');
  } catch {
    throw unusable(`${what}: the password does not open it`);
  }
}

function readHead(text: string, what: string) {
  try {
    const { alg, enc, p2s, p2c } = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    const known = { alg: String(alg), enc: String(enc) as 'A256GCM' | 'A128GCM' };
    return { ...known, p2s: String(p2s), p2c: Number(p2c) };
  } catch {
    throw unusable(`${what} is neither a JWK nor a JWE`);
  }
}

function unusable(message: string, hint?: string): CountersignError {
  return new CountersignError('ERR_ISSUER_SECRET', message, hint === undefined ? {} : { hint });
}
