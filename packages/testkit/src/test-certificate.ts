import { type KeyObject, randomBytes } from 'node:crypto';
import {
  assembleCertificate,
  buildName,
  buildTbsCertificate,
  type Certificate,
  type Extension,
  encodePem,
  encodePrivateKey,
  extension,
  type GeneralName,
  type KeyKind,
  type KeyUsage,
  keyIdOf,
  keySigner,
  type NameAttribute,
  parseCertificate,
  parseIpAddress,
  type Signer,
  type SubjectPublicKeyInfo,
  spkiOf,
} from '@countersign/x509';
import { testKey } from './test-key.ts';

/** Everything that a test may want to be otherwise. `null` leaves the extension out. */
export interface Mutations {
  readonly subject?: readonly NameAttribute[];
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
  readonly email?: readonly string[];
  readonly uri?: readonly string[];
  /** Beside the four lists above. */
  readonly names?: readonly GeneralName[];
  /** Magnitude; random unless given. */
  readonly serial?: Uint8Array;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly isCa?: boolean;
  readonly pathLen?: number;
  readonly keyUsage?: readonly KeyUsage[] | null;
  readonly extKeyUsage?: readonly string[] | null;
  readonly nameConstraints?: {
    readonly permitted?: readonly GeneralName[];
    readonly excluded?: readonly GeneralName[];
  };
  readonly policies?: readonly string[];
  readonly crlUris?: readonly string[];
  /** Put behind all others; one with an OID that is there already replaces it. */
  readonly extensions?: readonly Extension[];
  /** OIDs of extensions to leave out. */
  readonly without?: readonly string[];
  readonly key?: KeyObject | KeyKind;
  /** Signs in the issuer's stead, under the issuer's name: a forgery. */
  readonly signer?: Signer;
  /** Turns one bit of the signature. */
  readonly brokenSignature?: boolean;
}

/** A certificate with its key, ready for a TLS context. */
export interface TestCredential {
  readonly certificate: Certificate;
  /** Leaf first, without the root. */
  readonly chain: readonly Certificate[];
  readonly privateKey: KeyObject;
  readonly signer: Signer;
  readonly certificatePem: string;
  readonly chainPem: string;
  readonly keyPem: string;
}

export interface TestIssuer {
  readonly signer: Signer;
  /** Undefined: self-signed. */
  readonly certificate: Certificate | undefined;
  /** Of the issuer, leaf first, without the root. */
  readonly chain: readonly Certificate[];
}

/** @param at middle of the default validity, ms since the epoch */
export function testCredential(
  issuer: TestIssuer | undefined,
  defaults: Mutations,
  mutations: Mutations,
  at: number,
): TestCredential {
  const wanted = { ...defaults, ...mutations };
  const privateKey = keyOf(wanted.key);
  const spki = spkiOf(privateKey);
  const signer = keySigner(privateKey);
  const subject = buildName(wanted.subject ?? []);
  const signedBy = wanted.signer ?? issuer?.signer ?? signer;
  const authority = issuer?.certificate;
  const tbs = buildTbsCertificate(
    {
      serial: wanted.serial ?? randomSerial(),
      issuer: authority?.subject ?? subject,
      subject,
      notBefore: wanted.notBefore ?? at - hourMs,
      notAfter: wanted.notAfter ?? at + 24 * hourMs,
      spki,
      extensions: extensionsOf(wanted, spki, authority?.subjectKeyId ?? keyIdOf(spki)),
    },
    signedBy.algorithm,
  );
  const signature = signedBy.sign(tbs);
  if (signature instanceof Promise) throw new TypeError('test signers sign at once');
  if (wanted.brokenSignature === true)
    signature.set([(signature.at(-1) ?? 0) ^ 1], signature.byteLength - 1);
  const certificate = parseCertificate(assembleCertificate(tbs, signedBy.algorithm, signature));
  const isRoot = authority === undefined;
  const chain = [...(isRoot ? [] : [certificate]), ...(issuer?.chain ?? [])];
  return {
    certificate,
    chain,
    privateKey,
    signer,
    certificatePem: encodePem('CERTIFICATE', certificate.raw),
    chainPem: chain.map((link) => encodePem('CERTIFICATE', link.raw)).join(''),
    keyPem: encodePrivateKey(privateKey),
  };
}

const hourMs = 3_600_000;

function keyOf(key: KeyObject | KeyKind | undefined): KeyObject {
  return key !== undefined && 'export' in key ? key : testKey(key);
}

function randomSerial(): Uint8Array {
  const serial = new Uint8Array(randomBytes(16));
  serial[0] = 0x40 | ((serial[0] ?? 0) & 0x3f);
  return serial;
}

function extensionsOf(
  wanted: Mutations,
  spki: SubjectPublicKeyInfo,
  authorityKeyId: Uint8Array,
): Extension[] {
  const names = namesOf(wanted);
  const {
    isCa = false,
    pathLen,
    keyUsage,
    extKeyUsage,
    nameConstraints,
    policies,
    crlUris,
  } = wanted;
  const built = [
    extension.basicConstraints({ ca: isCa, pathLen }),
    keyUsage && extension.keyUsage(keyUsage),
    extKeyUsage && extension.extKeyUsage(extKeyUsage),
    names.length > 0 && extension.subjectAltName(names, (wanted.subject ?? []).length === 0),
    nameConstraints && extension.nameConstraints(nameConstraints),
    policies && extension.certificatePolicies(policies),
    crlUris && extension.crlDistributionPoints([crlUris]),
    extension.subjectKeyId(keyIdOf(spki)),
    extension.authorityKeyId(authorityKeyId),
  ].filter((value) => typeof value === 'object' && value !== null);
  const added = wanted.extensions ?? [];
  const gone = new Set([...(wanted.without ?? []), ...added.map((value) => value.oid)]);
  return [...built.filter((value) => !gone.has(value.oid)), ...added];
}

function namesOf(wanted: Mutations): GeneralName[] {
  const { dns = [], ip = [], email = [], uri = [], names = [] } = wanted;
  return [
    ...dns.map((value): GeneralName => ({ kind: 'dns', value })),
    ...email.map((value): GeneralName => ({ kind: 'email', value })),
    ...uri.map((value): GeneralName => ({ kind: 'uri', value })),
    ...ip.map((text): GeneralName => {
      const bytes = parseIpAddress(text);
      if (bytes === undefined) throw new RangeError(`"${text}" is no address`);
      return { kind: 'ip', bytes };
    }),
    ...names,
  ];
}
