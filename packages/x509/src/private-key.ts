import { createPrivateKey, generateKeyPair as generate, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { CountersignError } from '@countersign/base';
import { type KeyKind, keyKindOf } from './key-kind.ts';
import { decodePem, encodePem } from './pem.ts';
import { spkiOf } from './spki.ts';

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/**
 * On the thread pool.
 *
 * @throws CountersignError ERR_KEY_UNSUPPORTED for a kind that this Node does not make, ERR_KEY_WEAK for RSA outside
 *   2048–8192 bits
 */
export async function generateKeyPair(kind: KeyKind): Promise<KeyPair> {
  if ('bits' in kind && !(kind.bits >= 2048 && kind.bits <= 8192)) {
    const message = `RSA key of ${kind.bits} bits, 2048 to 8192 are made`;
    throw new CountersignError('ERR_KEY_WEAK', message, { fields: { bits: kind.bits } });
  }
  return await makers[kind.type](kind as never);
}

/** PKCS #8 in PEM, not encrypted: a secret. */
export function encodePrivateKey(key: KeyObject): string {
  const bytes = key.export({ format: 'der', type: 'pkcs8' });
  return encodePem('PRIVATE KEY', bytes);
}

/**
 * The one private key of a PEM text: PKCS #8, or an EC or RSA key in its traditional form. Errors never echo the text.
 *
 * @param passphrase for an encrypted PKCS #8 key
 * @throws CountersignError ERR_KEY_PRIVATE, ERR_KEY_ENCRYPTED, ERR_KEY_UNSUPPORTED, ERR_PEM_*
 */
export function decodePrivateKey(pem: string | Uint8Array, passphrase?: string): KeyObject {
  const keys = decodePem(pem).filter((block) => block.label.endsWith('PRIVATE KEY'));
  const [block] = keys;
  if (block === undefined || keys.length > 1) {
    const message = `text has ${keys.length} private keys, one is expected`;
    throw new CountersignError('ERR_KEY_PRIVATE', message);
  }
  const type = forms.get(block.label);
  if (type === undefined) {
    const message = `private key of the form ${block.label} is not read`;
    throw new CountersignError('ERR_KEY_PRIVATE', message);
  }
  if (block.label === 'ENCRYPTED PRIVATE KEY' && passphrase === undefined) {
    throw new CountersignError(
      'ERR_KEY_ENCRYPTED',
      'private key is encrypted, no passphrase given',
    );
  }
  const key = importPrivateKey(block.bytes, type, passphrase);
  if (keyKindOf(spkiOf(key)) === undefined) {
    const message = `private key of the algorithm ${key.asymmetricKeyType} is not accepted`;
    throw new CountersignError('ERR_KEY_UNSUPPORTED', message);
  }
  return key;
}

const forms: ReadonlyMap<string, 'pkcs8' | 'sec1' | 'pkcs1'> = new Map([
  ['PRIVATE KEY', 'pkcs8'],
  ['ENCRYPTED PRIVATE KEY', 'pkcs8'],
  ['EC PRIVATE KEY', 'sec1'],
  ['RSA PRIVATE KEY', 'pkcs1'],
]);

const generateAsync = promisify(generate) as unknown as (
  type: string,
  options: object,
) => Promise<KeyPair>;

type KindOf<T extends KeyKind['type']> = Extract<KeyKind, { type: T }>;

const makers: { [T in KeyKind['type']]: (kind: KindOf<T>) => Promise<KeyPair> } = {
  EC: ({ curve }) => generateAsync('ec', { namedCurve: curve }),
  RSA: ({ bits }) => generateAsync('rsa', { modulusLength: bits }),
  'RSA-PSS': ({ bits }) =>
    generateAsync('rsa-pss', {
      modulusLength: bits,
      hashAlgorithm: 'sha256',
      mgf1HashAlgorithm: 'sha256',
      saltLength: 32,
    }),
  Ed25519: () => generateAsync('ed25519', {}),
  'ML-DSA': async ({ set }) => {
    try {
      return await generateAsync(`ml-dsa-${set}`, {});
    } catch (thrown) {
      // Node before 24.6, or an OpenSSL before 3.5
      const message = `this Node makes no ML-DSA-${set} keys`;
      throw new CountersignError('ERR_KEY_UNSUPPORTED', message, { cause: thrown });
    }
  },
};

function importPrivateKey(
  bytes: Uint8Array,
  type: 'pkcs8' | 'sec1' | 'pkcs1',
  passphrase: string | undefined,
): KeyObject {
  try {
    const secret = passphrase === undefined ? {} : { passphrase };
    return createPrivateKey({ key: Buffer.from(bytes), format: 'der', type, ...secret });
  } catch {
    // the cause is left out: nothing of the key may travel with an error
    const detail =
      passphrase === undefined ? 'is malformed' : 'is malformed, or its passphrase wrong';
    throw new CountersignError('ERR_KEY_PRIVATE', `private key ${detail}`);
  }
}
