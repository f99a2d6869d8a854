import { createPrivateKey, hash, type KeyObject } from 'node:crypto';
import { CountersignError } from '@countersign/base';
import { decodePrivateKey, encodePem, formatKeyKind, keyKindOf, spkiOf } from '@countersign/x509';
import type { FoundKey, KeyForm } from './found-key.ts';

type Decoded = Pick<FoundKey, 'form' | 'encrypted' | 'spkiHash' | 'algorithm' | 'note'>;

/** A row a PEM label; other labels that end in PRIVATE KEY are found, and not read. */
const formOfLabel: Readonly<Record<string, KeyForm>> = {
  'PRIVATE KEY': 'PKCS #8',
  'ENCRYPTED PRIVATE KEY': 'encrypted PKCS #8',
  'EC PRIVATE KEY': 'SEC 1',
  'RSA PRIVATE KEY': 'PKCS #1',
  'DSA PRIVATE KEY': 'DSA',
  'OPENSSH PRIVATE KEY': 'OpenSSH',
};

const encryptedNote = 'encrypted: whose key it is cannot be told without its passphrase';

/** What can be said of the content of a PEM block; undefined where it is no key. */
export function decodeBlock(
  label: string,
  bytes: Uint8Array,
  hasEncryptionHeader: boolean,
): Decoded | undefined {
  const form = formOfLabel[label] ?? 'private key';
  if (form === 'OpenSSH') return decodeOpenSsh(bytes);
  if (hasEncryptionHeader) return { form, encrypted: true, note: encryptedNote };
  // every other form is a SEQUENCE: what is none stands for a key in a text about keys
  if (bytes[0] !== 0x30) return undefined;
  if (form === 'encrypted PKCS #8') return { form, encrypted: true, note: encryptedNote };
  return { form, encrypted: false, ...publicHalf(() => decodePrivateKey(encodePem(label, bytes))) };
}

/** Undefined where it has no private half. */
export function decodeJwk(jwk: Readonly<Record<string, unknown>>): Decoded | undefined {
  const secret = privateMember[String(jwk.kty)];
  if (secret === undefined || typeof jwk[secret] !== 'string') return undefined;
  // RFC 7517: one that is in use is a few members of base64url; placeholders in a text are none
  if (!/^[A-Za-z0-9_-]{20,}$/.test(jwk[secret])) return undefined;
  const read = () => createPrivateKey({ key: jwk, format: 'jwk' });
  return { form: 'JWK', encrypted: false, ...publicHalf(read) };
}

const privateMember: Readonly<Record<string, string>> = {
  EC: 'd',
  RSA: 'd',
  OKP: 'd',
  AKP: 'priv',
};

/** PROTOCOL.key of OpenSSH: a magic word, then the name of the cipher. */
function decodeOpenSsh(bytes: Uint8Array): Decoded | undefined {
  const magic = 'openssh-key-v1\0';
  const text = Buffer.from(bytes.subarray(0, 64)).toString('latin1');
  if (!text.startsWith(magic)) return undefined;
  const at = magic.length + 4;
  const encrypted = text.slice(at, at + 4) !== 'none';
  const note = 'an SSH key: no certificate of this authority is for it';
  return { form: 'OpenSSH', encrypted, note };
}

/** What is thrown never holds anything of the key (see decodePrivateKey); what node:crypto throws is left out. */
function publicHalf(read: () => KeyObject): Pick<Decoded, 'spkiHash' | 'algorithm' | 'note'> {
  try {
    const spki = spkiOf(read());
    const kind = keyKindOf(spki);
    return {
      spkiHash: hash('sha256', spki.raw),
      ...(kind !== undefined && { algorithm: formatKeyKind(kind) }),
    };
  } catch (thrown) {
    const reason = thrown instanceof CountersignError ? thrown.message : 'private key is malformed';
    return { note: `not decoded: ${reason}` };
  }
}
