import { CountersignError, type Denial, denial, parseDuration, Secret } from '@countersign/base';
import {
  certificateRequestFromPem,
  type RevocationReason,
  revocationReasonOf,
} from '@countersign/x509';

/** `POST /sign`, as step's clients write it. */
export interface StepSignRequest {
  readonly ok: true;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  readonly token: Secret<string>;
  readonly ttlMs: number | undefined;
}

export interface StepRevokeRequest {
  readonly ok: true;
  /** Lowercase hexadecimal, minimal. */
  readonly serialHex: string;
  readonly token: Secret<string> | undefined;
  readonly reason: RevocationReason;
}

type Members = Readonly<Record<string, unknown>>;

/** Denials: ERR_STEP_REQUEST, ERR_STEP_UNSUPPORTED. */
export function readSign(bytes: Uint8Array, now: number): StepSignRequest | Denial {
  const members = membersOf(bytes, ['csr', 'ott', 'notAfter', 'notBefore', 'templateData']);
  if ('detail' in members) return members;
  const { csr, ott, notAfter, notBefore, templateData } = members.read;
  if (templateData !== undefined && templateData !== null) {
    return unsupported('"templateData" is sent, profiles of ca.yaml decide what a certificate has');
  }
  if (notBefore !== undefined && notBefore !== '') {
    return unsupported('"notBefore" is sent, certificates begin when they are issued');
  }
  const ttlMs = notAfter === undefined || notAfter === '' ? undefined : spanUntil(notAfter, now);
  if (ttlMs === null) return wrong('"notAfter" is neither a time nor a duration');
  if (typeof ott !== 'string' || ott === '') return wrong('"ott" is missing');
  const request = requestIn(csr);
  if ('detail' in request) return request;
  return { ok: true, csr: request.csr, token: new Secret(ott), ttlMs };
}

/** `POST /rekey`. Denials: ERR_STEP_REQUEST. */
export function readRekey(bytes: Uint8Array): { readonly csr: Uint8Array } | Denial {
  const members = membersOf(bytes, ['csr']);
  return 'detail' in members ? members : requestIn(members.read.csr);
}

/** Denials: ERR_STEP_REQUEST, ERR_STEP_UNSUPPORTED. */
export function readRevoke(bytes: Uint8Array): StepRevokeRequest | Denial {
  const members = membersOf(bytes, ['serial', 'ott', 'reasonCode', 'reason', 'passive']);
  if ('detail' in members) return members;
  const { serial, ott = '', reasonCode = 0 } = members.read;
  // Decimal, or hexadecimal after 0x.
  if (typeof serial !== 'string' || !/^(?:0x[0-9a-f]{1,40}|\d{1,49})$/i.test(serial)) {
    return wrong('"serial" is no serial number, decimal or after 0x');
  }
  const reason = typeof reasonCode === 'number' ? revocationReasonOf(reasonCode) : undefined;
  if (reason === undefined || reason === 'removeFromCRL') return wrong('"reasonCode" is no reason');
  if (typeof ott !== 'string') return wrong('"ott" is no text');
  const hex = BigInt(serial).toString(16);
  const serialHex = hex.length % 2 === 0 ? hex : `0${hex}`;
  return { ok: true, serialHex, token: ott === '' ? undefined : new Secret(ott), reason };
}

function membersOf(bytes: Uint8Array, known: readonly string[]): { read: Members } | Denial {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return wrong('the body is no JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return wrong('the body is no JSON object');
  }
  const stray = Object.keys(value).find((name) => !known.includes(name));
  if (stray !== undefined)
    return unsupported(`"${stray.slice(0, 80)}" is nothing that is known here`);
  return { read: value as Members };
}

function requestIn(pem: unknown): { readonly csr: Uint8Array } | Denial {
  if (typeof pem !== 'string') return wrong('"csr" is missing');
  try {
    return { csr: certificateRequestFromPem(pem).raw };
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return wrong(`"csr": ${thrown.message}`);
  }
}

/** Null where it is neither. */
function spanUntil(written: unknown, now: number): number | null {
  if (typeof written !== 'string') return null;
  const at = /^\d{4}-\d\d-\d\dT/.test(written) ? Date.parse(written) : Number.NaN;
  if (!Number.isNaN(at)) return Math.max(0, at - now);
  try {
    // Go writes 24h0m0s.
    return parseDuration(written.replace(/(?<=[hm])0[ms](?:0s)?$/, ''));
  } catch {
    return null;
  }
}

function wrong(why: string): Denial {
  return denial('ERR_STEP_REQUEST', `step request: ${why}`);
}

function unsupported(why: string): Denial {
  return denial('ERR_STEP_UNSUPPORTED', `step request: ${why}`);
}
