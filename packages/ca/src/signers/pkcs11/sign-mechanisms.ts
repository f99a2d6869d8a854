import { hash } from 'node:crypto';
import { der, oids, type SignatureAlgorithm } from '@countersign/x509';
import { ecdsaSignatureOf } from '../ecdsa-signature.ts';
import { ulong } from './call-memory.ts';
import { ckg, ckm } from './cryptoki-constants.ts';

/** One way of a token to make a signature of an algorithm. */
export interface SignMechanism {
  readonly type: bigint;
  readonly parameter?: Uint8Array;
  /** What goes into C_Sign. */
  prepare(data: Uint8Array): Uint8Array;
  /** From what comes out to what X.509 wants. */
  finish(signature: Uint8Array): Uint8Array;
}

type HashName = 'sha256' | 'sha384' | 'sha512';

interface HashRow {
  readonly oid: string;
  readonly hash: bigint;
  readonly mask: bigint;
  readonly rsa: bigint;
  readonly ecdsa: bigint;
}

const hashes: Readonly<Record<HashName, HashRow>> = {
  sha256: {
    oid: oids.sha256,
    hash: ckm.sha256,
    mask: ckg.mgf1Sha256,
    rsa: ckm.sha256RsaPkcs,
    ecdsa: ckm.ecdsaSha256,
  },
  sha384: {
    oid: oids.sha384,
    hash: ckm.sha384,
    mask: ckg.mgf1Sha384,
    rsa: ckm.sha384RsaPkcs,
    ecdsa: ckm.ecdsaSha384,
  },
  sha512: {
    oid: oids.sha512,
    hash: ckm.sha512,
    mask: ckg.mgf1Sha512,
    rsa: ckm.sha512RsaPkcs,
    ecdsa: ckm.ecdsaSha512,
  },
};

/**
 * How an algorithm can be had, the best way first: we hash, so that a list of revoked certificates of megabytes does
 * not go through the token; a token that wants to hash by itself may.
 */
export function signMechanismsOf(algorithm: SignatureAlgorithm): readonly SignMechanism[] {
  const { hash: name, options, keyTypes } = algorithm;
  if (name === undefined) {
    // RFC 8410 §3: Ed25519 over the data itself
    return algorithm.name === 'Ed25519' ? [{ type: ckm.eddsa, prepare: whole, finish: whole }] : [];
  }
  const row = hashes[name];
  const digest = (data: Uint8Array) => new Uint8Array(hash(name, data, 'buffer'));
  if (keyTypes.includes('EC')) {
    return [
      { type: ckm.ecdsa, prepare: digest, finish: ecdsaSignatureOf },
      { type: row.ecdsa, prepare: whole, finish: ecdsaSignatureOf },
    ];
  }
  if (options.saltLength !== undefined) {
    // CK_RSA_PKCS_PSS_PARAMS: hash, mask generation function, length of the salt
    const words = [row.hash, row.mask, options.saltLength].map(ulong);
    const parameter = new Uint8Array(Buffer.concat(words));
    return [{ type: ckm.rsaPkcsPss, parameter, prepare: digest, finish: whole }];
  }
  return [
    { type: ckm.rsaPkcs, prepare: (data) => digestInfo(row.oid, digest(data)), finish: whole },
    { type: row.rsa, prepare: whole, finish: whole },
  ];
}

// RFC 8017 §9.2
function digestInfo(oid: string, digest: Uint8Array): Uint8Array {
  return der.sequence(der.sequence(der.oid(oid), der.null()), der.octetString(digest));
}

function whole(bytes: Uint8Array): Uint8Array {
  return bytes;
}
