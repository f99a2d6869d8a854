import { createHash } from 'node:crypto';
import { concatBytes } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import { der } from '../der-writer.ts';
import { checkKeyStore, type KeyStoreContent, trustedAlias } from './key-store.ts';

const magic = 0xfeedfeed;
const version = 2;
const tag = { key: 1, trusted: 2 } as const;
/** Sun's own protection of keys. */
const protectorOid = '1.3.6.1.4.1.42.2.17.1.1';
const whitener = 'Mighty Aphrodite';

/**
 * A key store in Java's old format, for programs that read no PKCS #12. Its protection is SHA-1 and a keystream, made
 * in 1996: whoever has the file and time has the key, so that the file's mode is what protects it.
 *
 * @throws RangeError for an alias or a password that it cannot have
 */
export function buildJks(content: KeyStoreContent): Uint8Array {
  checkKeyStore(content);
  const { key, trusted = [], password, createdAt } = content;
  const entries = [
    ...(key === undefined
      ? []
      : [
          concatBytes(
            ...[uint32(tag.key), text(key.alias), uint64(createdAt)],
            counted(protectedKey(content, key.privateKey.export({ type: 'pkcs8', format: 'der' }))),
            uint32(key.chain.length),
            ...key.chain.map(certificate),
          ),
        ]),
    ...trusted.map((each, i) =>
      concatBytes(
        ...[uint32(tag.trusted), text(trustedAlias(i)), uint64(createdAt), certificate(each)],
      ),
    ),
  ];
  const body = concatBytes(uint32(magic), uint32(version), uint32(entries.length), ...entries);
  return concatBytes(body, sha1(utf16(password), Buffer.from(whitener, 'latin1'), body));
}

function certificate({ raw }: Certificate): Uint8Array {
  return concatBytes(text('X.509'), counted(raw));
}

/** The key, a keystream of the password and a salt over it, and a checksum. */
function protectedKey({ password, randomBytes }: KeyStoreContent, plain: Uint8Array): Uint8Array {
  const secret = utf16(password);
  const salt = randomBytes(20);
  const encrypted = new Uint8Array(plain.length);
  let stream = salt;
  for (let at = 0; at < plain.length; at += stream.length) {
    stream = sha1(secret, stream);
    for (let i = 0; i < stream.length && at + i < plain.length; i += 1) {
      encrypted[at + i] = (plain[at + i] ?? 0) ^ (stream[i] ?? 0);
    }
  }
  const algorithm = der.sequence(der.oid(protectorOid), der.null());
  const sealed = concatBytes(salt, encrypted, sha1(secret, plain));
  return der.sequence(algorithm, der.octetString(sealed)).slice();
}

function counted(bytes: Uint8Array): Uint8Array {
  return concatBytes(uint32(bytes.length), bytes);
}

/** Java's own length-prefixed text; ours are ASCII. */
function text(value: string): Uint8Array {
  const bytes = Buffer.from(value, 'latin1');
  return concatBytes(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes);
}

function uint32(value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function uint64(value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

function utf16(value: string): Uint8Array {
  return Buffer.from(value, 'utf16le').swap16();
}

function sha1(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}
