import {
  constants,
  createCipheriv,
  diffieHellman,
  generateKeyPairSync,
  hash,
  publicEncrypt,
} from 'node:crypto';
import { CountersignError, concatBytes } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import { der } from '../der-writer.ts';
import { keyKindOf } from '../key-kind.ts';
import { oids } from '../oids.ts';
import { publicKeyOf, spkiOf } from '../spki.ts';
import { contextConstructed, tags } from '../tags.ts';
import { cmsOids } from './cms-oids.ts';

/** Who is to read it: the holder of a certificate's RSA or EC key, or of a shared AES key of 16 or 32 octets. */
export type Recipient =
  | { readonly certificate: Certificate }
  | { readonly keyId: Uint8Array; readonly sharedKey: Uint8Array };

export interface EnvelopedDataTemplate {
  /** Dotted OID of what is inside. */
  readonly contentType: string;
  readonly content: Uint8Array;
  readonly recipient: Recipient;
  readonly randomBytes: (length: number) => Uint8Array;
}

/**
 * DER of a ContentInfo with EnvelopedData (RFC 5652 §6): AES-256-CBC, its key for one recipient by RSA-OAEP (RFC 3560),
 * ephemeral ECDH with the X9.63 KDF (RFC 5753) or AES key wrap (RFC 3565).
 *
 * @throws CountersignError ERR_KEY_UNSUPPORTED where the recipient's key cannot be encrypted to
 */
export function buildEnvelopedData(template: EnvelopedDataTemplate): Uint8Array {
  const { contentType, content, recipient, randomBytes } = template;
  const contentKey = randomBytes(32);
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-256-cbc', contentKey, iv);
  const encrypted = Buffer.concat([cipher.update(content), cipher.final()]);
  const { version, info } = recipientInfo(recipient, contentKey);
  const encryptedContent = der.sequence(
    der.oid(contentType),
    der.sequence(der.oid(cmsOids.aes256Cbc), der.octetString(iv)),
    der.context(0, encrypted),
  );
  const enveloped = der.sequence(
    der.integer(version),
    der.element(tags.set, [info]),
    encryptedContent,
  );
  return der.sequence(der.oid(cmsOids.envelopedData), der.explicit(0, enveloped)).slice();
}

interface RecipientInfo {
  /** Of the EnvelopedData around it (RFC 5652 §6.1). */
  readonly version: 0 | 2;
  readonly info: Uint8Array;
}

function recipientInfo(recipient: Recipient, contentKey: Uint8Array): RecipientInfo {
  if ('sharedKey' in recipient) return keyEncryptionKey(recipient, contentKey);
  const { certificate } = recipient;
  const kind = keyKindOf(certificate.spki);
  if (kind?.type === 'RSA') return keyTransport(certificate, contentKey);
  if (kind?.type === 'EC') return keyAgreement(certificate, contentKey);
  const message = `nothing is encrypted to a key "${kind?.type ?? 'of an unknown kind'}", RSA and EC keys can be`;
  throw new CountersignError('ERR_KEY_UNSUPPORTED', message);
}

// RFC 5652 §6.2.1, RFC 4055 §4.1
function keyTransport(certificate: Certificate, contentKey: Uint8Array): RecipientInfo {
  const sha256 = der.sequence(der.oid(oids.sha256), der.null());
  const encryptedKey = publicEncrypt(
    {
      key: publicKeyOf(certificate.spki),
      padding: constants.RSA_PKCS1_OAEP_PADDING,
      oaepHash: 'sha256',
    },
    contentKey,
  );
  const info = der.sequence(
    der.integer(0),
    issuerAndSerial(certificate),
    der.sequence(
      der.oid(cmsOids.rsaesOaep),
      der.sequence(
        der.explicit(0, sha256),
        der.explicit(1, der.sequence(der.oid(oids.mgf1), sha256)),
      ),
    ),
    der.octetString(encryptedKey),
  );
  return { version: 0, info };
}

// RFC 5753 §3.1
function keyAgreement(certificate: Certificate, contentKey: Uint8Array): RecipientInfo {
  const publicKey = publicKeyOf(certificate.spki);
  const namedCurve = publicKey.asymmetricKeyDetails?.namedCurve ?? '';
  const ephemeral = generateKeyPairSync('ec', { namedCurve });
  const shared = diffieHellman({ privateKey: ephemeral.privateKey, publicKey });
  const wrapAlgorithm = der.sequence(der.oid(cmsOids.aes256Wrap));
  const sharedInfo = der.sequence(
    wrapAlgorithm,
    der.explicit(2, der.octetString(Uint8Array.of(0, 0, 1, 0))),
  );
  // ANSI X9.63: one round is 32 octets, which is the whole key
  const key = hash('sha256', concatBytes(shared, Uint8Array.of(0, 0, 0, 1), sharedInfo), 'buffer');
  const { algorithm, bits } = spkiOf(ephemeral.publicKey);
  const originator = der.explicit(1, der.sequence(der.oid(algorithm.oid)), der.bitString(bits));
  const info = der.element(contextConstructed(1), [
    der.integer(3),
    der.explicit(0, originator),
    der.sequence(der.oid(cmsOids.ecdhSha256), wrapAlgorithm),
    der.sequence(
      der.sequence(issuerAndSerial(certificate), der.octetString(wrap(key, contentKey))),
    ),
  ]);
  return { version: 2, info };
}

// RFC 5652 §6.2.3
function keyEncryptionKey(
  { keyId, sharedKey }: Extract<Recipient, { sharedKey: Uint8Array }>,
  contentKey: Uint8Array,
): RecipientInfo {
  const algorithm = sharedKey.byteLength === 16 ? cmsOids.aes128Wrap : cmsOids.aes256Wrap;
  const info = der.element(contextConstructed(2), [
    der.integer(4),
    der.sequence(der.octetString(keyId)),
    der.sequence(der.oid(algorithm)),
    der.octetString(wrap(sharedKey, contentKey)),
  ]);
  return { version: 2, info };
}

function issuerAndSerial({ issuer, serial }: Certificate): Uint8Array {
  return der.sequence(issuer.raw, der.integerOctets(serial));
}

/** RFC 3394, with its own initial value. */
function wrap(key: Uint8Array, plain: Uint8Array): Uint8Array {
  const name = key.byteLength === 16 ? 'id-aes128-wrap' : 'id-aes256-wrap';
  const cipher = createCipheriv(name, key, Buffer.alloc(8, 0xa6));
  return concatBytes(cipher.update(plain), cipher.final());
}
