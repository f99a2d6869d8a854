import { CountersignError } from '@countersign/base';
import { type Curve, der, formatKeyKind, type KeyKind, oids } from '@countersign/x509';
import { positiveInteger } from '../ecdsa-signature.ts';
import { type Attribute, ulong } from './call-memory.ts';
import { cka, ckk, ckm } from './cryptoki-constants.ts';

/** How key pairs of a kind are made in a token, and how their public half is read. */
export interface KeyPairRow {
  readonly mechanism: bigint;
  readonly keyType: bigint;
  /** Of the public key's template, beside what all have. */
  readonly parameters: readonly Attribute[];
  /** What the public key tells of itself. */
  readonly read: readonly bigint[];
  /** DER of the SubjectPublicKeyInfo, of those attributes in their order. */
  spki(values: readonly Uint8Array[]): Uint8Array;
}

/** @throws CountersignError ERR_SIGNER_KEY_KIND */
export function keyPairRowOf(kind: KeyKind, title: string): KeyPairRow {
  if (kind.type === 'RSA') return rsa(kind.bits);
  if (kind.type === 'EC') return ec(kind.curve);
  if (kind.type === 'Ed25519') return ed25519;
  const message = `make a key ${formatKeyKind(kind)} in ${title}: not supported yet, use RSA, ECDSA or Ed25519`;
  throw new CountersignError('ERR_SIGNER_KEY_KIND', message);
}

const f4 = Uint8Array.of(1, 0, 1);

function rsa(bits: number): KeyPairRow {
  return {
    mechanism: ckm.rsaPkcsKeyPairGen,
    keyType: ckk.rsa,
    parameters: [
      { type: cka.modulusBits, value: ulong(bits) },
      { type: cka.publicExponent, value: f4 },
    ],
    read: [cka.modulus, cka.publicExponent],
    spki([modulus = empty, exponent = empty]) {
      const key = der.sequence(positiveInteger(modulus), positiveInteger(exponent));
      const algorithm = der.sequence(der.oid(oids.rsaEncryption), der.null());
      return der.sequence(algorithm, der.bitString(key));
    },
  };
}

const curveOids: Readonly<Record<Curve, string>> = {
  'P-256': oids.p256,
  'P-384': oids.p384,
  'P-521': oids.p521,
};

function ec(curve: Curve): KeyPairRow {
  const parameters = der.oid(curveOids[curve]);
  return {
    mechanism: ckm.ecKeyPairGen,
    keyType: ckk.ec,
    parameters: [{ type: cka.ecParams, value: parameters }],
    read: [cka.ecPoint],
    spki([point = empty]) {
      const algorithm = der.sequence(der.oid(oids.ecPublicKey), parameters);
      return der.sequence(algorithm, der.bitString(bare(point)));
    },
  };
}

const ed25519: KeyPairRow = {
  mechanism: ckm.ecEdwardsKeyPairGen,
  keyType: ckk.ecEdwards,
  // PKCS #11 3.0 §2.3.4: the curve's name as PrintableString, which older tokens know too, or its OID
  parameters: [{ type: cka.ecParams, value: der.printable('edwards25519') }],
  read: [cka.ecPoint],
  spki([point = empty]) {
    return der.sequence(der.sequence(der.oid(oids.ed25519)), der.bitString(bare(point)));
  },
};

/**
 * A point as tokens give it: in an OCTET STRING (PKCS #11 2.40 §2.3.3), in a BIT STRING, or as it is. A wrong guess
 * gives a key of a wrong length, which is refused.
 */
function bare(point: Uint8Array): Uint8Array {
  const [tag, length = 0] = point;
  const long = length === 0x81;
  const header = long ? 3 : 2;
  const content = long ? point[2] : length;
  const isWrapped = content === point.byteLength - header;
  if (tag === 0x04 && isWrapped) return point.subarray(header);
  if (tag === 0x03 && isWrapped && point[header] === 0) return point.subarray(header + 1);
  return point;
}

const empty = Uint8Array.of(0);
