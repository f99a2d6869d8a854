import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf, type Secret } from '@countersign/base';
import type { EstUser } from './est-config.ts';
import { hashOfNobody, isPassword, type PasswordHash, readPasswordHash } from './password-hash.ts';

/** Each takes memory: more at once would let strangers fill it. */
const mostAtOnce = 2;
const mostWaiting = 64;

/** Checks passwords against the files of ca.yaml, a few at a time. */
export class Passwords {
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /**
   * Undefined where too many are being checked already. `user` undefined: takes as long, and is false.
   *
   * @throws CountersignError ERR_EST_FILE
   */
  async check(user: EstUser | undefined, password: Secret<string>): Promise<boolean | undefined> {
    if (this.#waiting.length >= mostWaiting) return undefined;
    if (this.#running >= mostAtOnce) {
      // Whoever ends hands its place on.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      const known = user === undefined ? hashOfNobody : await hashIn(user.passwordFile);
      return (await isPassword(password, known)) && user !== undefined;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}

async function hashIn(file: string): Promise<PasswordHash> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (thrown) {
    throw wrongFile(file, messageOf(thrown), thrown);
  }
  const known = readPasswordHash(text.trim());
  if (known !== undefined) return known;
  throw wrongFile(file, 'it has no scrypt hash of a password, or one of an unbearable cost');
}

function wrongFile(file: string, reason: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_EST_FILE', `read the password file "${file}": ${reason}`, {
    fields: { file },
    cause,
  });
}
