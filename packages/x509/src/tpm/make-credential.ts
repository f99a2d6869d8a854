import {
  constants,
  createCipheriv,
  createHmac,
  diffieHellman,
  generateKeyPairSync,
  hash,
  publicEncrypt,
  randomBytes,
} from 'node:crypto';
import { CountersignError, concatBytes } from '@countersign/base';
import { publicKeyOf } from '../spki.ts';
import { type TpmHash, tpmCurves } from './tpm-algorithms.ts';
import { padded, type TpmPublic } from './tpm-public.ts';
import { tpm } from './tpm-writer.ts';

export interface TpmCredential {
  /** TPM2B_ID_OBJECT. */
  readonly blob: Uint8Array;
  /** TPM2B_ENCRYPTED_SECRET. */
  readonly secret: Uint8Array;
}

/**
 * What TPM2_MakeCredential makes (part 1 §24), without a TPM: only the TPM that holds the endorsement key, and in it the
 * object of that name, gets `content` back.
 *
 * @param endorsement a key that decrypts, with AES in CFB mode
 * @param name of the object, such as an attestation key
 * @param content at most as long as a digest of the endorsement key's name algorithm
 * @throws CountersignError ERR_TPM_UNSUPPORTED for a key that is no such parent
 */
export function makeCredential(
  endorsement: TpmPublic,
  name: Uint8Array,
  content: Uint8Array,
): TpmCredential {
  const { nameAlg, symmetric, attributes } = endorsement;
  if (symmetric === undefined || !attributes.has('decrypt') || !attributes.has('restricted')) {
    throw new CountersignError(
      'ERR_TPM_UNSUPPORTED',
      'endorsement key: no restricted key that decrypts',
    );
  }
  if (content.byteLength > nameAlg.octets) {
    throw new RangeError(`a credential of ${content.byteLength} octets, at most ${nameAlg.octets}`);
  }
  const { seed, secret } = seedFor(endorsement);
  // Part 1 §24.4, §24.5
  const key = kdfa(nameAlg, seed, 'STORAGE', name, symmetric.keyBits);
  const cipher = createCipheriv(`aes-${symmetric.keyBits}-cfb`, key, new Uint8Array(16));
  const identity = concatBytes(cipher.update(tpm.sized(content)), cipher.final());
  const integrityKey = kdfa(nameAlg, seed, 'INTEGRITY', new Uint8Array(0), nameAlg.octets * 8);
  const integrity = createHmac(nameAlg.name, integrityKey).update(identity).update(name).digest();
  return { blob: tpm.sized(tpm.sized(integrity), identity), secret };
}

const identityLabel = 'IDENTITY';
/** TCG EK Credential Profile §2.2.1; OAEP has no room for a seed in much shorter ones. */
const smallestRsaBits = 2048;

function seedFor({ nameAlg, spki }: TpmPublic): {
  readonly seed: Uint8Array;
  readonly secret: Uint8Array;
} {
  const key = publicKeyOf(spki);
  if (key.asymmetricKeyType === 'rsa') {
    // Part 1 §B.10.3: the label with its terminating zero.
    if (Number(key.asymmetricKeyDetails?.modulusLength) < smallestRsaBits) {
      const message = `endorsement key: RSA below ${smallestRsaBits} bits`;
      throw new CountersignError('ERR_TPM_UNSUPPORTED', message);
    }
    const seed = randomBytes(nameAlg.octets);
    const oaepLabel = Buffer.from(`${identityLabel}\0`);
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    const sealed = publicEncrypt({ key, padding, oaepHash: nameAlg.name, oaepLabel }, seed);
    return { seed, secret: tpm.sized(sealed) };
  }
  // Part 1 §C.6.1: a key of the moment on the same curve.
  const jwk = key.export({ format: 'jwk' });
  const curve = tpmCurves.find((each) => each.name === jwk.crv);
  if (curve === undefined) {
    throw new CountersignError(
      'ERR_TPM_UNSUPPORTED',
      'endorsement key: neither RSA nor of a curve',
    );
  }
  const moment = generateKeyPairSync('ec', { namedCurve: curve.name });
  const shared = diffieHellman({ privateKey: moment.privateKey, publicKey: key });
  const own = moment.publicKey.export({ format: 'jwk' });
  const [x, y, theirs] = [own.x, own.y, jwk.x].map((each) =>
    padded(Buffer.from(each ?? '', 'base64url'), curve.octets),
  ) as [Uint8Array, Uint8Array, Uint8Array];
  const seed = kdfe(nameAlg, padded(shared, curve.octets), x, theirs);
  return { seed, secret: tpm.sized(tpm.sized(x), tpm.sized(y)) };
}

/** Part 1 §11.4.10.2: SP 800-108 in counter mode; what is asked for here is no longer than a digest. */
function kdfa(
  { name, octets }: TpmHash,
  key: Uint8Array,
  label: string,
  context: Uint8Array,
  bits: number,
): Uint8Array {
  if (bits > octets * 8) throw new RangeError(`${bits} bits of one digest`);
  const digest = createHmac(name, key)
    .update(tpm.u32(1))
    .update(`${label}\0`)
    .update(context)
    .update(tpm.u32(bits))
    .digest();
  return new Uint8Array(digest.subarray(0, bits / 8));
}

/** Part 1 §11.4.10.3: SP 800-56A, one digest. */
function kdfe({ name }: TpmHash, shared: Uint8Array, u: Uint8Array, v: Uint8Array): Uint8Array {
  const label = Buffer.from(`${identityLabel}\0`);
  return hash(name, concatBytes(tpm.u32(1), shared, label, u, v), 'buffer');
}
