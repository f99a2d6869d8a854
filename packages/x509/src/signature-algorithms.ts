import { constants } from 'node:crypto';
import { equalBytes } from '@countersign/base';
import { type AlgorithmIdentifier, readAlgorithmIdentifier } from './algorithm-identifier.ts';
import { DerReader } from './der-reader.ts';
import { der } from './der-writer.ts';
import type { KeyKind } from './key-kind.ts';
import { oids } from './oids.ts';
import {
  encodeRsaPssParameters,
  type HashName,
  parseRsaPssParameters,
} from './rsa-pss-parameters.ts';

/** A row of the table. It is resolved once and passed on as the row. */
export interface SignatureAlgorithm {
  /** `ECDSA-SHA256`, `RSA-PSS-SHA256`, `Ed25519`… */
  readonly name: string;
  /** DER of the AlgorithmIdentifier that we write. */
  readonly identifier: Uint8Array;
  readonly keyTypes: readonly KeyKind['type'][];
  /** Undefined where the scheme brings its own. */
  readonly hash: HashName | undefined;
  /** For `node:crypto`, beside the key. */
  readonly options: { readonly padding?: number; readonly saltLength?: number };
}

const saltLengths = { sha256: 32, sha384: 48, sha512: 64 } as const satisfies Record<
  HashName,
  number
>;

/** Every algorithm that we sign with and accept. SHA-1 and its elders are not among them. */
export const signatureAlgorithms = {
  'ECDSA-SHA256': ecdsa('ECDSA-SHA256', 'sha256', '1.2.840.10045.4.3.2'),
  'ECDSA-SHA384': ecdsa('ECDSA-SHA384', 'sha384', '1.2.840.10045.4.3.3'),
  'ECDSA-SHA512': ecdsa('ECDSA-SHA512', 'sha512', '1.2.840.10045.4.3.4'),
  'RSA-SHA256': rsa('RSA-SHA256', 'sha256', '1.2.840.113549.1.1.11'),
  'RSA-SHA384': rsa('RSA-SHA384', 'sha384', '1.2.840.113549.1.1.12'),
  'RSA-SHA512': rsa('RSA-SHA512', 'sha512', '1.2.840.113549.1.1.13'),
  'RSA-PSS-SHA256': rsaPss('sha256', saltLengths.sha256),
  'RSA-PSS-SHA384': rsaPss('sha384', saltLengths.sha384),
  'RSA-PSS-SHA512': rsaPss('sha512', saltLengths.sha512),
  Ed25519: own('Ed25519', 'Ed25519', oids.ed25519),
  'ML-DSA-44': own('ML-DSA-44', 'ML-DSA', oids.mlDsa44),
  'ML-DSA-65': own('ML-DSA-65', 'ML-DSA', oids.mlDsa65),
  'ML-DSA-87': own('ML-DSA-87', 'ML-DSA', oids.mlDsa87),
} as const satisfies Record<string, SignatureAlgorithm>;

export type SignatureAlgorithmName = keyof typeof signatureAlgorithms;

/** The row of an identifier, or undefined where we do not accept such signatures. */
export function signatureAlgorithmOf(
  identifier: AlgorithmIdentifier,
): SignatureAlgorithm | undefined {
  const { oid, raw } = identifier;
  const written = writtenByOid.get(oid);
  const row = written?.find((each) => equalBytes(each.identifier, raw))?.row;
  if (row !== undefined || oid !== oids.rsassaPss) return row;
  return rsaPssOf(identifier.parameters);
}

/** The row that a key of this kind signs with unless told otherwise; its hash is about as strong as the key. */
export function defaultAlgorithmOf(kind: KeyKind): SignatureAlgorithm {
  if (kind.type === 'EC') return ecDefaults[kind.curve];
  if (kind.type === 'ML-DSA') return signatureAlgorithms[`ML-DSA-${kind.set}`];
  return otherDefaults[kind.type];
}

const ecDefaults = {
  'P-256': signatureAlgorithms['ECDSA-SHA256'],
  'P-384': signatureAlgorithms['ECDSA-SHA384'],
  'P-521': signatureAlgorithms['ECDSA-SHA512'],
} as const;

const otherDefaults = {
  RSA: signatureAlgorithms['RSA-SHA256'],
  'RSA-PSS': signatureAlgorithms['RSA-PSS-SHA256'],
  Ed25519: signatureAlgorithms.Ed25519,
} as const;

interface WrittenAlgorithm {
  readonly oid: string;
  /** DER of an AlgorithmIdentifier that stands for the row. */
  readonly identifier: Uint8Array;
  readonly row: SignatureAlgorithm;
}

const written: readonly WrittenAlgorithm[] = [
  ...Object.values(signatureAlgorithms).map((row) => writtenAs(row.identifier, row)),
  // RFC 4055 §5: NULL parameters are written, and their absence MUST be accepted
  writtenAs(rsaAlone('1.2.840.113549.1.1.11'), signatureAlgorithms['RSA-SHA256']),
  writtenAs(rsaAlone('1.2.840.113549.1.1.12'), signatureAlgorithms['RSA-SHA384']),
  writtenAs(rsaAlone('1.2.840.113549.1.1.13'), signatureAlgorithms['RSA-SHA512']),
];
const writtenByOid = Map.groupBy(written, ({ oid }) => oid);

function writtenAs(identifier: Uint8Array, row: SignatureAlgorithm): WrittenAlgorithm {
  const reader = DerReader.over(identifier, 'signature algorithm');
  return { oid: readAlgorithmIdentifier(reader, 'signature algorithm').oid, identifier, row };
}

function rsaAlone(oid: string): Uint8Array {
  return der.sequence(der.oid(oid));
}

/** Other salt lengths and other spellings of the hash parameters; MGF1 must use the same hash. */
function rsaPssOf(parameters: Uint8Array | undefined): SignatureAlgorithm | undefined {
  if (parameters === undefined) return undefined;
  try {
    const { hash, maskHash, saltLength } = parseRsaPssParameters(parameters);
    const name = hashNames.get(hash);
    return name === undefined || maskHash !== hash ? undefined : rsaPss(name, saltLength);
  } catch {
    // malformed parameters are no algorithm that we know
    return undefined;
  }
}

const hashNames = new Map<string, HashName>([
  [oids.sha256, 'sha256'],
  [oids.sha384, 'sha384'],
  [oids.sha512, 'sha512'],
]);

// RFC 5758 §3.2: parameters absent
function ecdsa(name: string, hash: HashName, oid: string): SignatureAlgorithm {
  return { name, identifier: der.sequence(der.oid(oid)), keyTypes: ['EC'], hash, options: {} };
}

function rsa(name: string, hash: HashName, oid: string): SignatureAlgorithm {
  const identifier = der.sequence(der.oid(oid), der.null());
  return { name, identifier, keyTypes: ['RSA'], hash, options: {} };
}

function rsaPss(hash: HashName, saltLength: number): SignatureAlgorithm {
  const parameters = encodeRsaPssParameters(hash, saltLength);
  return {
    name: `RSA-PSS-${hash.toUpperCase()}`,
    identifier: der.sequence(der.oid(oids.rsassaPss), parameters),
    keyTypes: ['RSA', 'RSA-PSS'],
    hash,
    options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength },
  };
}

// RFC 8410 §3, RFC 9881 §2: parameters absent, hash inside
function own(name: string, type: KeyKind['type'], oid: string): SignatureAlgorithm {
  const identifier = der.sequence(der.oid(oid));
  return { name, identifier, keyTypes: [type], hash: undefined, options: {} };
}
