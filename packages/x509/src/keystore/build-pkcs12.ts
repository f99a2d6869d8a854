import { createCipheriv, createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { concatBytes } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import { der } from '../der-writer.ts';
import { checkKeyStore, type KeyStoreContent, trustedAlias } from './key-store.ts';

/** RFC 7292; the algorithms are those that OpenSSL 3 and Java use by themselves (PBES2, AES-256, SHA-256). */
const oid = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certificateBag: '1.2.840.113549.1.12.10.1.3',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  friendlyName: '1.2.840.113549.1.9.20',
  localKeyId: '1.2.840.113549.1.9.21',
  /** Java's mark of what is trusted, and for what. */
  trustedKeyUsage: '2.16.840.1.113894.746875.1.1',
  anyUsage: '2.5.29.37.0',
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  hmacSha256: '1.2.840.113549.2.9',
  aes256Cbc: '2.16.840.1.101.3.4.1.42',
  sha256: '2.16.840.1.101.3.4.2.1',
} as const;

const iterations = 10_000;
const bmpStringTag = 0x1e;

/**
 * A PKCS #12 file.
 *
 * @throws RangeError for an alias or a password that it cannot have
 */
export function buildPkcs12(content: KeyStoreContent): Uint8Array {
  checkKeyStore(content);
  const { key, trusted = [] } = content;
  const localId = key === undefined ? new Uint8Array() : sha1(key.chain[0]?.raw);
  const certificates = [
    ...(key?.chain ?? []).map((each, i) =>
      certificateBag(each, i === 0 ? [friendly(key?.alias ?? ''), local(localId)] : []),
    ),
    ...trusted.map((each, i) =>
      certificateBag(each, [
        friendly(trustedAlias(i)),
        attribute(oid.trustedKeyUsage, der.oid(oid.anyUsage)),
      ]),
    ),
  ];
  const safes = [encryptedSafe(content, der.sequence(...certificates))];
  if (key !== undefined) {
    const plain = new Uint8Array(key.privateKey.export({ type: 'pkcs8', format: 'der' }));
    const { algorithm, encrypted } = encrypt(content, plain);
    const shrouded = der.sequence(algorithm, der.octetString(encrypted));
    const bag = safeBag(oid.shroudedKeyBag, shrouded, [friendly(key.alias), local(localId)]);
    safes.push(contentInfo(oid.data, der.octetString(der.sequence(bag))));
  }
  const authenticated = der.sequence(...safes);
  return der
    .sequence(
      der.integer(3),
      contentInfo(oid.data, der.octetString(authenticated)),
      macOf(content, authenticated),
    )
    .slice();
}

function contentInfo(type: string, content: Uint8Array): Uint8Array {
  return der.sequence(der.oid(type), der.explicit(0, content));
}

function encryptedSafe(content: KeyStoreContent, safe: Uint8Array): Uint8Array {
  const { algorithm, encrypted } = encrypt(content, safe);
  const info = der.sequence(der.oid(oid.data), algorithm, der.context(0, encrypted));
  return contentInfo(oid.encryptedData, der.sequence(der.integer(0), info));
}

function certificateBag(certificate: Certificate, attributes: readonly Uint8Array[]): Uint8Array {
  const bag = der.sequence(
    der.oid(oid.x509Certificate),
    der.explicit(0, der.octetString(certificate.raw)),
  );
  return safeBag(oid.certificateBag, bag, attributes);
}

function safeBag(type: string, value: Uint8Array, attributes: readonly Uint8Array[]): Uint8Array {
  const tail = attributes.length === 0 ? [] : [der.setOf(...attributes)];
  return der.sequence(der.oid(type), der.explicit(0, value), ...tail);
}

function attribute(type: string, value: Uint8Array): Uint8Array {
  return der.sequence(der.oid(type), der.setOf(value));
}

function friendly(alias: string): Uint8Array {
  return attribute(oid.friendlyName, der.element(bmpStringTag, [utf16(alias)]));
}

function local(id: Uint8Array): Uint8Array {
  return attribute(oid.localKeyId, der.octetString(id));
}

// RFC 8018 §6.2
function encrypt(
  { password, randomBytes }: KeyStoreContent,
  plain: Uint8Array,
): { readonly algorithm: Uint8Array; readonly encrypted: Uint8Array } {
  const [salt, iv] = [randomBytes(16), randomBytes(16)];
  const key = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const encrypted = new Uint8Array(Buffer.concat([cipher.update(plain), cipher.final()]));
  const prf = der.sequence(der.oid(oid.hmacSha256), der.null());
  const derivation = der.sequence(
    der.oid(oid.pbkdf2),
    der.sequence(der.octetString(salt), der.integer(iterations), der.integer(32), prf),
  );
  const scheme = der.sequence(der.oid(oid.aes256Cbc), der.octetString(iv));
  const algorithm = der.sequence(der.oid(oid.pbes2), der.sequence(derivation, scheme));
  return { algorithm, encrypted };
}

// RFC 7292 §4, MacData
function macOf({ password, randomBytes }: KeyStoreContent, data: Uint8Array): Uint8Array {
  const salt = randomBytes(16);
  const digest = createHmac('sha256', macKey(password, salt)).update(data).digest();
  const algorithm = der.sequence(der.oid(oid.sha256), der.null());
  return der.sequence(
    der.sequence(algorithm, der.octetString(new Uint8Array(digest))),
    der.octetString(salt),
    der.integer(iterations),
  );
}

// RFC 7292 §B.2, for one block of SHA-256, which is as long as the key; §B.3: the purpose 3 is a MAC
function macKey(password: string, salt: Uint8Array): Uint8Array {
  const block = 64;
  const purpose = new Uint8Array(block).fill(3);
  const secret = concatBytes(utf16(password), Uint8Array.of(0, 0));
  let hashed = concatBytes(purpose, repeated(salt, block), repeated(secret, block));
  for (let i = 0; i < iterations; i += 1) {
    hashed = new Uint8Array(createHash('sha256').update(hashed).digest());
  }
  return hashed;
}

/** Over and over, up to whole blocks. */
function repeated(bytes: Uint8Array, block: number): Uint8Array {
  const length = block * Math.ceil(bytes.length / block);
  return Uint8Array.from({ length }, (_, i) => bytes[i % bytes.length] ?? 0);
}

function utf16(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'utf16le').swap16());
}

/** Names a key within its file, and protects nothing. */
function sha1(bytes: Uint8Array | undefined): Uint8Array {
  return new Uint8Array(
    createHash('sha1')
      .update(bytes ?? new Uint8Array())
      .digest(),
  );
}
