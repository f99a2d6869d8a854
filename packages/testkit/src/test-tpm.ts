import {
  constants,
  createDecipheriv,
  createHmac,
  createPublicKey,
  diffieHellman,
  hash,
  type KeyObject,
  privateDecrypt,
  sign,
} from 'node:crypto';
import {
  parseTpmPublic,
  type TpmAttribute,
  type TpmPublic,
  TpmReader,
  tpm,
  tpmAlg,
  tpmAttributes,
  tpmCurves,
} from '@countersign/x509';
import { testKey } from './test-key.ts';

export interface TestTpm {
  readonly endorsement: TpmPublic;
  readonly attestation: TpmPublic;
  /** For a maker's certificate: there is none to be had of a real one. */
  readonly endorsementKey: KeyObject;
  /** Of the attestation key: there is none in a real one. */
  readonly attestationKey: KeyObject;
  /** A key of the TPM that signs. */
  key(attributes?: readonly TpmAttribute[]): {
    readonly public: TpmPublic;
    readonly privateKey: KeyObject;
  };
  /** That a key of this name is in the TPM. */
  certify(name: Uint8Array, extraData: Uint8Array): TestStatement;
  quote(extraData: Uint8Array): TestStatement;
  /** What TPM2_ActivateCredential gives for the attestation key. @throws Error where it was made for another */
  activate(credential: { readonly blob: Uint8Array; readonly secret: Uint8Array }): Uint8Array;
}

export interface TestStatement {
  /** TPMS_ATTEST */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE */
  readonly signature: Uint8Array;
}

const held: readonly TpmAttribute[] = [
  'fixedTpm',
  'fixedParent',
  'sensitiveDataOrigin',
  'userWithAuth',
];

/** A TPM on paper: keys in memory, and the structures that a real one makes, in SHA-256. Real ones are for interop. */
export function testTpm(kind: 'rsa' | 'ecc' = 'ecc'): TestTpm {
  const endorsementKey = testKey(kind === 'rsa' ? { type: 'RSA', bits: 2048 } : undefined);
  const endorsement = publicOf(endorsementKey, [...held, 'restricted', 'decrypt']);
  const attestationKey = testKey(kind === 'rsa' ? { type: 'RSA', bits: 2048 } : undefined);
  const attestation = publicOf(attestationKey, [...held, 'restricted', 'sign']);
  return {
    endorsement,
    attestation,
    endorsementKey,
    attestationKey,
    key(attributes = [...held, 'sign']) {
      const privateKey = testKey();
      return { public: publicOf(privateKey, attributes), privateKey };
    },
    certify: (name, extraData) =>
      state(0x8017, extraData, [tpm.sized(name), tpm.sized(new Uint8Array(34))]),
    quote: (extraData) =>
      state(0x8018, extraData, [
        ...[tpm.u32(1), tpm.u16(0x000b), tpm.u8(3), Uint8Array.of(0x80, 0, 0)],
        tpm.sized(new Uint8Array(32)),
      ]),
    activate: ({ blob, secret }) =>
      activateCredential(endorsementKey, attestation.name, { blob, secret }),
  };

  function state(type: number, extraData: Uint8Array, attested: readonly Uint8Array[]) {
    const attest = Buffer.concat([
      ...[tpm.u32(0xff54_4347), tpm.u16(type)],
      ...[tpm.sized(attestation.name), tpm.sized(extraData)],
      new Uint8Array(25),
      ...attested,
    ]);
    return { attest, signature: signatureOf(attestationKey, attest) };
  }
}

function signatureOf(key: KeyObject, data: Uint8Array): Uint8Array {
  if (key.asymmetricKeyType === 'rsa') {
    const head = [tpm.u16(tpmAlg.rsassa), tpm.u16(0x000b)];
    return Buffer.concat([...head, tpm.sized(sign('sha256', data, key))]);
  }
  const raw = sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' });
  const half = raw.byteLength / 2;
  const halves = [tpm.sized(raw.subarray(0, half)), tpm.sized(raw.subarray(half))];
  return Buffer.concat([tpm.u16(tpmAlg.ecdsa), tpm.u16(0x000b), ...halves]);
}

function publicOf(key: KeyObject, attributes: readonly TpmAttribute[]): TpmPublic {
  const jwk = createPublicKey(key).export({ format: 'jwk' });
  const isParent = attributes.includes('decrypt');
  const [n, x, y] = [jwk.n, jwk.x, jwk.y].map((each) => Buffer.from(each ?? '', 'base64url')) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  const curve = tpmCurves.find((each) => each.name === jwk.crv);
  const isRsa = jwk.kty === 'RSA';
  const signing = [tpm.u16(isRsa ? tpmAlg.rsassa : tpmAlg.ecdsa), tpm.u16(0x000b)];
  return parseTpmPublic(
    Buffer.concat([
      tpm.u16(isRsa ? tpmAlg.rsa : tpmAlg.ecc),
      tpm.u16(0x000b),
      tpm.u32(attributes.reduce((bits, each) => bits | tpmAttributes[each], 0)),
      tpm.sized(),
      ...(isParent
        ? [tpm.u16(tpmAlg.aes), tpm.u16(128), tpm.u16(tpmAlg.cfb)]
        : [tpm.u16(tpmAlg.null)]),
      ...(isParent ? [tpm.u16(tpmAlg.null)] : signing),
      ...(isRsa
        ? [tpm.u16(n.byteLength * 8), tpm.u32(0), tpm.sized(n)]
        : [tpm.u16(curve?.id ?? 0), tpm.u16(tpmAlg.null), tpm.sized(x), tpm.sized(y)]),
    ]),
  );
}

/** TPM 2.0 Library, part 1 §24: the other half of what `makeCredential` does, written apart from it. */
function activateCredential(
  key: KeyObject,
  name: Uint8Array,
  { blob, secret }: { readonly blob: Uint8Array; readonly secret: Uint8Array },
): Uint8Array {
  const label = Buffer.from('IDENTITY\0');
  const sealed = new TpmReader(secret, 'secret').sized('secret', 600);
  const seed = key.asymmetricKeyType === 'rsa' ? open(sealed) : agree(sealed);
  const inner = new TpmReader(new TpmReader(blob, 'blob').sized('blob', 200), 'blob');
  const integrity = inner.sized('integrity', 64);
  const identity = inner.take(2 + 32, 'identity');
  const macKey = derive('INTEGRITY', new Uint8Array(0), 256);
  const mac = createHmac('sha256', macKey).update(identity).update(name).digest();
  if (!mac.equals(integrity)) throw new Error('the credential is not for this attestation key');
  const decipher = createDecipheriv('aes-128-cfb', derive('STORAGE', name, 128), Buffer.alloc(16));
  const plain = Buffer.concat([decipher.update(identity), decipher.final()]);
  return new TpmReader(plain, 'identity').sized('credential', 32);

  function open(octets: Uint8Array): Uint8Array {
    const padding = constants.RSA_PKCS1_OAEP_PADDING;
    return privateDecrypt({ key, padding, oaepHash: 'sha256', oaepLabel: label }, octets);
  }
  function agree(octets: Uint8Array): Uint8Array {
    const reader = new TpmReader(octets, 'point');
    const [x, y] = [reader.sized('x', 66), reader.sized('y', 66)];
    const own = createPublicKey(key).export({ format: 'jwk' });
    const point = { kty: 'EC', crv: own.crv ?? '', x: text(x), y: text(y) };
    const publicKey = createPublicKey({ key: point, format: 'jwk' });
    const shared = diffieHellman({ privateKey: key, publicKey });
    const parties = [x, Buffer.from(own.x ?? '', 'base64url')];
    return hash('sha256', Buffer.concat([tpm.u32(1), shared, label, ...parties]), 'buffer');
  }
  function derive(use: string, context: Uint8Array, bits: number): Uint8Array {
    const parts = [tpm.u32(1), Buffer.from(`${use}\0`), context, tpm.u32(bits)];
    return createHmac('sha256', seed)
      .update(Buffer.concat(parts))
      .digest()
      .subarray(0, bits / 8);
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
