import { hash } from 'node:crypto';
import { type Denial, denial, toHex } from '@countersign/base';
import { type Certificate, deviceNameOf, formatDeviceName } from '@countersign/x509';
import { parseAttestationObject } from '../../attestation/attestation-object.ts';
import { type AttestedKey, verifyTpmStatement } from '../../attestation/verify-tpm-statement.ts';
import { accountOf } from '../accounts.ts';
import type { AcmeContext } from '../acme-context.ts';
import {
  type Authorization,
  type Challenge,
  deviceChallenge,
  formatIdentifier,
  type Identifier,
} from '../acme-objects.ts';
import { type AcmeProblem, type KeptProblem, problem } from '../acme-problem.ts';
import type { AcmeRequest } from '../acme-request.ts';
import { endOfAuthorization } from '../acme-store.ts';
import { fromBase64Url } from '../jose.ts';

type Result = { readonly ok: true; readonly authorization: Authorization } | AcmeProblem;

/**
 * draft-ietf-acme-device-attest §5: the client's response carries the attestation, so that it is judged at once. What an
 * attestation gets wrong ends its authorization, as a name that is not proved does.
 */
export async function attestDevice(
  context: AcmeContext,
  request: AcmeRequest,
  authorization: Authorization,
): Promise<Result> {
  const { clock, store, log } = context;
  const asked = authorization.challenges.find((each) => each.type === deviceChallenge);
  if (asked === undefined || authorization.status !== 'pending') return { ok: true, authorization };

  // 1. The attestation, by its form alone.
  const object = fromBase64Url(request.payload?.attObj);
  if (object === undefined || object.byteLength === 0) {
    return problem('malformed', '"attObj" is an attestation object in base64url without padding');
  }

  // 2. What it proves about this device, to this account, now.
  const { thumbprint } = accountOf(request);
  const { identifier } = authorization;
  const roots = context.attestationRoots;
  const signed = `${asked.token}.${thumbprint}`;
  const attested = judge(object, { identifier, roots, signed, at: clock.now() });

  // 3. Kept, with the one key that may be certified for it.
  const verdict = verdictOf(asked, attested, clock.now());
  const decided = await store.update(
    'acme-authorization',
    authorization.id,
    (present) => (present.status === 'pending' ? judged(present, verdict) : undefined),
    endOfAuthorization,
  );
  const shown = { authorization: authorization.id, identifier: formatIdentifier(identifier) };
  if (attested.ok) {
    const { serialHex } = attested.certificate;
    log.info({ ...shown, key: verdict.key, attestedBy: serialHex }, 'acme device attested');
  } else {
    log.warn(
      { ...shown, code: attested.code, detail: attested.detail },
      'acme device not attested',
    );
  }
  return { ok: true, authorization: decided };
}

interface Question {
  readonly identifier: Identifier;
  readonly roots: readonly Certificate[];
  readonly signed: string;
  readonly at: number;
}

function judge(object: Uint8Array, { identifier, ...asked }: Question): AttestedKey | Denial {
  let read: ReturnType<typeof parseAttestationObject>;
  try {
    read = parseAttestationObject(object);
  } catch (thrown) {
    const { message } = thrown as Error;
    return denial('ERR_ATTEST_FORM', message);
  }
  if (read.format !== 'tpm') {
    const sides = `format "${read.format.slice(0, 40)}" is not taken, "tpm" is`;
    return denial('ERR_ATTEST_FORMAT', `an attestation of ${sides}`);
  }
  const attested = verifyTpmStatement({ ...asked, statement: read.statement });
  if (!attested.ok) return attested;
  const wanted = formatIdentifier(identifier);
  const named = attested.devices.map(formatDeviceName);
  if (named.includes(wanted)) return attested;
  const found = named.length === 0 ? 'no device' : `"${named.slice(0, 5).join('", "')}"`;
  const sides = `the certificate of the attestation key names ${found}, "${wanted}" is asked for`;
  return denial('ERR_ATTEST_DEVICE', sides);
}

function verdictOf(asked: Challenge, attested: AttestedKey | Denial, now: number): Challenge {
  if (!attested.ok) {
    const error: KeptProblem = { type: 'badAttestationStatement', detail: attested.detail };
    return { ...asked, status: 'invalid', error };
  }
  const key = toHex(hash('sha256', attested.spki.raw, 'buffer'));
  return { ...asked, status: 'valid', validatedAt: now, error: undefined, key };
}

function judged(present: Authorization, verdict: Challenge): Authorization {
  const status = verdict.status === 'valid' ? 'valid' : 'invalid';
  const challenges = present.challenges.map((each) =>
    each.type === verdict.type ? verdict : each,
  );
  return { ...present, status, challenges };
}

/** Of a request: its names of devices, as identifiers are written; undefined for names of other kinds. */
export function deviceIdentifierOf(name: Parameters<typeof deviceNameOf>[0]): string | undefined {
  try {
    const device = deviceNameOf(name);
    return device && formatDeviceName(device);
  } catch {
    // malformed: it is told as the other name that it is
    return undefined;
  }
}
