import { createHash } from 'node:crypto';
import { CountersignError, Secret, toHex } from '@countersign/base';

/**
 * A one-time right to enrol. Written `cst1.<id>.<secret>.<root>`: 16 hexadecimal digits that find its row in the
 * ledger, 32 random bytes in base64url, and the SHA-256 of the root's DER in hexadecimal, so that the token alone
 * lets its bearer tell the right authority from a wrong one before the secret leaves the machine.
 */
export interface JoinToken {
  readonly id: string;
  readonly secret: Secret<Uint8Array>;
  /** Lowercase hexadecimal. */
  readonly rootFingerprint: string;
}

/** @throws CountersignError ERR_WIRE_TOKEN; the text is never quoted, since it may hold a secret */
export function parseJoinToken(text: string): JoinToken {
  const parts = text.trim().split('.');
  const [version, id = '', secretText = '', rootFingerprint = ''] = parts;
  if (version !== 'cst1' || parts.length !== 4) {
    throw malformed(
      version === 'cst1' ? `has ${parts.length} parts, expected 4` : 'does not begin with "cst1."',
    );
  }
  if (!/^[0-9a-f]{16}$/.test(id)) throw malformed('has an id that is not 16 hexadecimal digits');
  const secret = Buffer.from(secretText, 'base64url');
  if (secret.byteLength !== 32 || secret.toString('base64url') !== secretText) {
    throw malformed('has a secret that is not 32 bytes in base64url');
  }
  if (!/^[0-9a-f]{64}$/.test(rootFingerprint)) {
    throw malformed('has a root fingerprint that is not 64 hexadecimal digits');
  }
  return { id, secret: new Secret(new Uint8Array(secret)), rootFingerprint };
}

/** A new token; `random` gives 40 bytes and more of them never repeat. */
export function createJoinToken(
  random: (size: number) => Uint8Array,
  rootFingerprint: string,
): JoinToken {
  return {
    id: toHex(random(8)),
    secret: new Secret(random(32)),
    rootFingerprint: parseFingerprint(rootFingerprint),
  };
}

/** The text with its secret in it: for the one who is given the token, and for the request that redeems it. */
export function revealJoinToken(token: JoinToken): string {
  const secret = Buffer.from(token.secret.reveal()).toString('base64url');
  return `cst1.${token.id}.${secret}.${token.rootFingerprint}`;
}

/** What the ledger keeps instead of the secret: its SHA-256 in lowercase hexadecimal. */
export function secretHashOf(token: JoinToken): string {
  return createHash('sha256').update(token.secret.reveal()).digest('hex');
}

/** SHA-256 of a certificate as people paste it: either case, colons between bytes. @throws ERR_WIRE_FINGERPRINT */
export function parseFingerprint(text: string): string {
  const plain = text
    .trim()
    .toLowerCase()
    .replace(/^sha-?256[:=]/, '')
    .replaceAll(':', '');
  if (/^[0-9a-f]{64}$/.test(plain)) return plain;
  throw new CountersignError(
    'ERR_WIRE_FINGERPRINT',
    `fingerprint "${text.slice(0, 120)}" is not 64 hexadecimal digits`,
    { fields: { length: plain.length } },
  );
}

function malformed(reason: string): CountersignError {
  return new CountersignError('ERR_WIRE_TOKEN', `join token ${reason}`);
}
