import { hash } from 'node:crypto';
import { CountersignError, toBase64 } from '@countersign/base';
import { type Members, parseJsonBody, readMessage } from './read-message.ts';

/** `POST /v1/attest/tpm`: by whoever is about to enrol with its TPM. Both are TPMT_PUBLIC, of keys in one TPM. */
export interface TpmChallengeRequest {
  readonly endorsement: Uint8Array;
  readonly attestation: Uint8Array;
}

/** A credential that the TPM of both keys opens, and no other. */
export interface TpmChallenge {
  /** When it was made, in milliseconds since the epoch; good for some minutes. */
  readonly at: number;
  /** TPM2B_ID_OBJECT. */
  readonly blob: Uint8Array;
  /** TPM2B_ENCRYPTED_SECRET. */
  readonly secret: Uint8Array;
}

/** What stands behind `tpm:` in the token of an enrolment. */
export interface TpmEvidence extends TpmChallengeRequest {
  /** Of the endorsement key, leaf first; empty where its hash is known. */
  readonly certificates: readonly Uint8Array[];
  readonly at: number;
  /** What was in the credential. */
  readonly content: Uint8Array;
  /** TPMS_ATTEST: a quote that is qualified by {@link tpmQualifying}. */
  readonly attest: Uint8Array;
  /** TPMT_SIGNATURE of it by the attestation key. */
  readonly signature: Uint8Array;
}

const limits = { publicBytes: 1024, structureBytes: 1024, certificateBytes: 8192, certificates: 5 };

/** What a quote has to be qualified by, so that it is of this challenge and for this key (SubjectPublicKeyInfo, DER). */
export function tpmQualifying(content: Uint8Array, spki: Uint8Array): Uint8Array {
  const lines = [
    'countersign quote by a TPM, version 1',
    hash('sha256', content),
    hash('sha256', spki),
  ];
  return new Uint8Array(hash('sha256', `${lines.join('\n')}\n`, 'buffer'));
}

/** @throws CountersignError ERR_WIRE_MESSAGE, ERR_WIRE_UNKNOWN_MEMBER */
export function parseTpmChallengeRequest(json: unknown): TpmChallengeRequest {
  return readMessage('TPM challenge request', json, keysIn);
}

export function formatTpmChallengeRequest(request: TpmChallengeRequest): string {
  return JSON.stringify(keysOf(request));
}

/** @throws CountersignError ERR_WIRE_MESSAGE */
export function parseTpmChallenge(json: unknown): TpmChallenge {
  return readMessage(
    'TPM challenge',
    json,
    (m) => ({
      at: m.integer('at', { min: 0 }),
      blob: m.bytes('blob', limits.structureBytes),
      secret: m.bytes('secret', limits.structureBytes),
    }),
    { unknown: 'ignore' },
  );
}

export function formatTpmChallenge({ at, blob, secret }: TpmChallenge): string {
  return JSON.stringify({ at, blob: toBase64(blob), secret: toBase64(secret) });
}

/** Behind the `tpm:`. @throws CountersignError ERR_WIRE_* */
export function parseTpmEvidence(text: string): TpmEvidence {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text) {
    throw new CountersignError('ERR_WIRE_MESSAGE', 'TPM evidence is no base64url');
  }
  const json = parseJsonBody(bytes, 'TPM evidence', 64 * 1024);
  return readMessage('TPM evidence', json, (m) => ({
    ...keysIn(m),
    certificates:
      m.optional('certificates', (name) =>
        m.listOfBytes(name, {
          minItems: 0,
          maxItems: limits.certificates,
          maxBytes: limits.certificateBytes,
        }),
      ) ?? [],
    at: m.integer('at', { min: 0 }),
    content: m.bytes('content', 64),
    attest: m.bytes('attest', limits.structureBytes),
    signature: m.bytes('signature', limits.structureBytes),
  }));
}

/** The token whole. */
export function formatTpmEvidence(evidence: TpmEvidence): string {
  const { certificates, at, content, attest, signature } = evidence;
  const text = JSON.stringify({
    ...keysOf(evidence),
    certificates: certificates.map(toBase64),
    ...{ at, content: toBase64(content) },
    ...{ attest: toBase64(attest), signature: toBase64(signature) },
  });
  return `tpm:${Buffer.from(text).toString('base64url')}`;
}

function keysIn(m: Members): TpmChallengeRequest {
  return {
    endorsement: m.bytes('endorsement', limits.publicBytes),
    attestation: m.bytes('attestation', limits.publicBytes),
  };
}

function keysOf({ endorsement, attestation }: TpmChallengeRequest) {
  return { endorsement: toBase64(endorsement), attestation: toBase64(attestation) };
}
