import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import { type Secret, toBase64 } from '@countersign/base';

/** scrypt (RFC 7914) of a password, with what it was made by. */
export interface PasswordHash {
  /** Binary logarithm of the cost: 14 to 20. */
  readonly logCost: number;
  readonly blockSize: number;
  readonly parallel: number;
  readonly salt: Uint8Array;
  readonly hash: Uint8Array;
}

/** 32 MiB and some tens of milliseconds. */
const usual = { logCost: 15, blockSize: 8, parallel: 1 } as const;

/**
 * As it stands in a file: `$scrypt$ln=15,r=8,p=1$<salt>$<hash>`, base64 without padding, as passlib writes it too.
 *
 * @param logCost 14 to 17; 15 unless given
 */
export async function hashPassword(
  password: Secret<string>,
  logCost: number = usual.logCost,
): Promise<string> {
  const salt = randomBytes(16);
  const { blockSize, parallel } = usual;
  const by = { logCost, blockSize, parallel, salt, hash: new Uint8Array(32) };
  const hash = await derive(password, by);
  const parts = `ln=${logCost},r=${blockSize},p=${parallel}`;
  return `$scrypt$${parts}$${unpadded(salt)}$${unpadded(hash)}`;
}

/** Undefined where the text is no such hash, or one that is too cheap or too dear to check. */
export function readPasswordHash(text: string): PasswordHash | undefined {
  const match =
    /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/.exec(
      text,
    );
  if (match === null) return undefined;
  const [, logCost, blockSize, parallel, salt = '', hash = ''] = match;
  const read = {
    logCost: Number(logCost),
    blockSize: Number(blockSize),
    parallel: Number(parallel),
    salt: Buffer.from(salt, 'base64'),
    hash: Buffer.from(hash, 'base64'),
  };
  const isBearable =
    read.logCost >= 14 && memoryOf(read) <= mostMemory && read.parallel >= 1 && read.parallel <= 4;
  return isBearable && read.blockSize >= 8 ? read : undefined;
}

export async function isPassword(password: Secret<string>, known: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await derive(password, known), known.hash);
}

/** Of nobody: what is computed for a user who is not there takes as long as for one who is. */
export const hashOfNobody: PasswordHash = {
  ...usual,
  salt: new Uint8Array(16),
  hash: new Uint8Array(32),
};

const mostMemory = 128 * 1024 * 1024;

function memoryOf({ logCost, blockSize }: PasswordHash): number {
  return 128 * blockSize * 2 ** logCost;
}

function derive(password: Secret<string>, by: PasswordHash): Promise<Buffer> {
  const { logCost, blockSize, parallel, salt, hash } = by;
  const options: ScryptOptions = {
    cost: 2 ** logCost,
    blockSize,
    parallelization: parallel,
    maxmem: 2 * memoryOf(by),
  };
  return new Promise((resolve, reject) => {
    scrypt(password.reveal(), salt, hash.byteLength, options, (thrown, key) => {
      if (thrown === null) resolve(key);
      else reject(thrown);
    });
  });
}

function unpadded(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll('=', '');
}
