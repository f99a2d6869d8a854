import { hash } from 'node:crypto';
import { CountersignError, type Denial, denial, equalBytes } from '@countersign/base';
import {
  type Certificate,
  type DeviceName,
  deviceNameOf,
  parseCertificate,
  parseTpmAttest,
  parseTpmPublic,
  parseTpmSignature,
  type SubjectPublicKeyInfo,
  type TpmAttest,
  type TpmHashName,
  type TpmPublic,
  type TpmSignature,
  verifyTpmSignature,
} from '@countersign/x509';
import type { Members } from './attestation-object.ts';
import { judgeKeyCertificate } from './judge-key-certificate.ts';

export interface TpmVerification {
  /** `attStmt` of an attestation object with the format `tpm`. */
  readonly statement: Members;
  /** What the statement must be about, so that it is new and for this purpose: it carries the digest. */
  readonly signed: string;
  readonly roots: readonly Certificate[];
  readonly at: number;
}

/** A key that is in a TPM and was made there, and what the authority of the attestation key calls the device. */
export interface AttestedKey {
  readonly ok: true;
  readonly spki: SubjectPublicKeyInfo;
  readonly devices: readonly DeviceName[];
  /** Of the attestation key. */
  readonly certificate: Certificate;
}

/**
 * WebAuthn §8.3, with the key authorization in the place of authenticator and client data.
 *
 * Denials: ERR_ATTEST_*, ERR_TPM_*, ERR_DER_*, and those of path validation.
 */
export function verifyTpmStatement(asked: TpmVerification): AttestedKey | Denial {
  try {
    return verifyInSteps(asked);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return denial(thrown.code, thrown.message, thrown.fields);
  }
}

function verifyInSteps({ statement, signed, roots, at }: TpmVerification): AttestedKey | Denial {
  // 1. The parts, each read whole.
  const version = statement.text('ver');
  if (version !== '2.0') return binding(`the TPM is of version "${version}", expected "2.0"`);
  const algorithm = algorithmOf(statement.integer('alg'));
  const [leaf, ...above] = statement.listOfBytes('x5c', 6).map((each) => parseCertificate(each));
  if (leaf === undefined) return binding('there is no certificate');
  const key = parseTpmPublic(statement.bytes('pubArea'));
  const attest = parseTpmAttest(statement.bytes('certInfo'));
  const signature = parseTpmSignature(statement.bytes('sig'));

  // 2. The attestation key is one that a root vouches for.
  const judged = judgeKeyCertificate([leaf, ...above], roots, at);
  if (!judged.ok) return judged;

  // 3. It has signed the statement, and by the algorithm that is named.
  const wrong = wrongWithSignature(leaf, { attest, signature, algorithm });
  if (wrong !== undefined) return wrong;

  // 4. The statement is about this challenge, and about this key.
  const digests = [hash('sha256', signed, 'buffer'), hash(algorithm.hash, signed, 'buffer')];
  if (!digests.some((each) => equalBytes(each, attest.extraData))) {
    return binding('extraData is not the digest of the key authorization');
  }
  const { attested } = attest;
  if (attested.kind !== 'certify') return binding(`a "${attested.kind}", expected a "certify"`);
  if (!equalBytes(attested.name, key.name)) {
    return binding('the name in certInfo is not the name of the key in pubArea');
  }

  // 5. The key never was outside of the TPM, and never leaves it.
  const lacks = wrongWithKey(key);
  if (lacks !== undefined) return lacks;
  return { ok: true, spki: key.spki, devices: devicesOf(leaf), certificate: leaf };
}

interface StatementAlgorithm {
  readonly name: string;
  readonly scheme: TpmSignature['scheme'];
  readonly hash: TpmHashName;
}

/** Of COSE (RFC 9053 §2.1, RFC 8230 §2, RFC 8812 §2), by number. */
const algorithms = new Map<number, StatementAlgorithm>([
  [-7, { name: 'ES256', scheme: 'ecdsa', hash: 'sha256' }],
  [-35, { name: 'ES384', scheme: 'ecdsa', hash: 'sha384' }],
  [-36, { name: 'ES512', scheme: 'ecdsa', hash: 'sha512' }],
  [-37, { name: 'PS256', scheme: 'rsapss', hash: 'sha256' }],
  [-38, { name: 'PS384', scheme: 'rsapss', hash: 'sha384' }],
  [-39, { name: 'PS512', scheme: 'rsapss', hash: 'sha512' }],
  [-257, { name: 'RS256', scheme: 'rsassa', hash: 'sha256' }],
  [-258, { name: 'RS384', scheme: 'rsassa', hash: 'sha384' }],
  [-259, { name: 'RS512', scheme: 'rsassa', hash: 'sha512' }],
]);

function algorithmOf(number: number): StatementAlgorithm {
  const found = algorithms.get(number);
  if (found !== undefined) return found;
  const known = [...algorithms.values()].map(({ name }) => name).join(', ');
  const message = `algorithm ${number} of the statement is none of ${known}`;
  throw new CountersignError('ERR_ATTEST_FORM', message);
}

function wrongWithSignature(
  { spki }: Certificate,
  said: {
    readonly attest: TpmAttest;
    readonly signature: TpmSignature;
    readonly algorithm: StatementAlgorithm;
  },
): Denial | undefined {
  const { attest, signature, algorithm } = said;
  const found = `${signature.scheme} with ${signature.hash.name}`;
  if (algorithm.scheme !== signature.scheme || algorithm.hash !== signature.hash.name) {
    const sides = `signed by ${found}, "alg" says ${algorithm.name}`;
    return denial('ERR_ATTEST_SIGNATURE', `the statement is ${sides}`);
  }
  if (verifyTpmSignature(spki, attest.raw, signature)) return undefined;
  const detail = `the signature by ${found} is not of certInfo, or not by the attestation key`;
  return denial('ERR_ATTEST_SIGNATURE', detail);
}

/** Part 2 §8.3.3: what makes a key one that no one has outside of the TPM. */
export function wrongWithKey({ attributes }: TpmPublic): Denial | undefined {
  const wanted = ['fixedTpm', 'fixedParent', 'sensitiveDataOrigin', 'sign'] as const;
  const missing = wanted.filter((each) => !attributes.has(each));
  if (missing.length === 0) return undefined;
  const sides = `lacks "${missing.join('", "')}": it may be known outside of the TPM, or does not sign`;
  return denial('ERR_ATTEST_KEY', `the attested key ${sides}`);
}

/** A URI is a name too: authorities of attestation keys write `urn:ek:sha256:…` so. */
function devicesOf({ subjectAltNames }: Certificate): DeviceName[] {
  return subjectAltNames.flatMap((name): DeviceName[] => {
    if (name.kind === 'uri') return [{ kind: 'permanentIdentifier', value: name.value }];
    const device = deviceNameOf(name);
    return device === undefined ? [] : [device];
  });
}

function binding(detail: string): Denial {
  return denial('ERR_ATTEST_BINDING', `the statement of the TPM: ${detail}`);
}
