import type { KeyObject } from 'node:crypto';
import type { Certificate } from '../certificate.ts';

/** What a key store holds: a key with its certificates, or authorities that are trusted. */
export interface KeyStoreContent {
  readonly key?: {
    /** Name of the entry: 1 to 64 of lowercase letters, digits, dot, dash and underscore. */
    readonly alias: string;
    readonly privateKey: KeyObject;
    /** Leaf first. */
    readonly chain: readonly Certificate[];
  };
  readonly trusted?: readonly Certificate[];
  /** 6 to 256 printable ASCII characters, as Java wants it. */
  readonly password: string;
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
  readonly randomBytes: (size: number) => Uint8Array;
}

/** @throws RangeError for an alias or a password that a store cannot have */
export function checkKeyStore({ key, password }: KeyStoreContent): void {
  if (key !== undefined && !/^[a-z0-9._-]{1,64}$/.test(key.alias)) {
    throw new RangeError(`alias "${key.alias}" is not 1 to 64 of a-z 0-9 . _ -`);
  }
  // Java takes no other one with the algorithms of today.
  if (!/^[\x20-\x7e]{6,256}$/.test(password)) {
    throw new RangeError('the password is not 6 to 256 printable ASCII characters');
  }
}

/** Names of trusted entries, in their order. */
export function trustedAlias(index: number): string {
  return index === 0 ? 'ca' : `ca-${index}`;
}
