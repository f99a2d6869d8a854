import { randomBytes } from 'node:crypto';
import { CountersignError, type Denial, messageOf } from '@countersign/base';
import type { RevocationStatus } from '@countersign/spiffe';
import {
  buildOcspRequest,
  type Certificate,
  certIdOf,
  checkOcspResponse,
  encodeOcspGetPath,
  type OcspHash,
  type OcspResponse,
  type OcspVerdict,
  ocspResponseLimits,
  parseOcspResponse,
} from '@countersign/x509';
import type { GuardedHttp, HttpQuestion } from '../checking/guarded-http.ts';
import type { Validity } from '../checking/refresh-time.ts';

/** One certificate, the one that issued it, and who knows about it. */
export interface OcspSubject {
  readonly certificate: Certificate;
  readonly issuer: Certificate;
  /** From the issuer's issuer to the anchor. */
  readonly above: readonly Certificate[];
  /** Plain http, in the order to be tried. */
  readonly urls: readonly string[];
  /** Written by the operator. */
  readonly isConfigured: boolean;
}

/** An answer that was proved to be about the certificate, by whom the issuer lets speak. */
export interface OcspKept extends Validity {
  readonly status: Exclude<OcspVerdict['status'], 'unknown'>;
  readonly reason: Extract<OcspVerdict, { status: 'revoked' }>['reason'] | undefined;
  readonly revokedAt: number | undefined;
  /** Where it came from: an address, or `staple`. */
  readonly from: string;
  /** DER of the response, as a staple shows it. */
  readonly raw: Uint8Array;
}

export interface AskOptions {
  readonly http: GuardedHttp;
  readonly hash: OcspHash;
  /** Whether a fresh signature is asked for, instead of an answer that may have been made ahead. */
  readonly nonce: boolean;
  /** How old an answer may be that does not say when the next one is due. */
  readonly maxAgeMs: number;
  /** Asked about a responder whose own certificate may be revoked; absent: such a one is believed while it is valid. */
  readonly clears?: (chain: readonly Certificate[]) => Promise<RevocationStatus>;
  readonly now: () => number;
}

/** RFC 5019 §5: what a cache on the way may keep. */
const longestGet = 255;

/**
 * What a responder says of a certificate: asked, read, proved, and not older than what was known. Addresses are tried in
 * order. That the responder does not know the certificate is a failure: perhaps it will soon.
 *
 * @throws CountersignError ERR_REVOCATION_*, with the reason of the first address
 */
export async function askResponder(
  options: AskOptions,
  subject: OcspSubject,
  known: OcspKept | undefined,
  signal: AbortSignal,
): Promise<OcspKept> {
  let first: unknown;
  for (const url of subject.urls) {
    try {
      return await askAt(options, subject, known, url, signal);
    } catch (thrown) {
      first ??= thrown;
      if (signal.aborted) break;
    }
  }
  throw first ?? unnamed(subject);
}

async function askAt(
  options: AskOptions,
  subject: OcspSubject,
  known: OcspKept | undefined,
  url: string,
  signal: AbortSignal,
): Promise<OcspKept> {
  const { certificate, issuer, isConfigured } = subject;
  const nonce = options.nonce ? new Uint8Array(randomBytes(32)) : undefined;
  const certIds = [certIdOf(certificate, issuer, options.hash)];
  const request = buildOcspRequest({ certIds, nonce });
  const question = { url, isConfigured, maxBytes: ocspResponseLimits.maxBytes, signal };
  const answer = await options.http.ask(asHttp(question, request, nonce !== undefined));
  if (answer.status !== 200) throw failed('ERR_REVOCATION_ANSWER', url, 'status 304');
  const kept = await acceptOcspAnswer(options, subject, { bytes: answer.body, from: url, nonce });
  if (known === undefined || kept.thisUpdate >= known.thisUpdate) return kept;
  const sides = `thisUpdate ${text(kept.thisUpdate)}, known is one of ${text(known.thisUpdate)}`;
  throw failed('ERR_REVOCATION_REPLAYED', url, `answer is older than the one before: ${sides}`);
}

/** RFC 6960 Appendix A.1: GET for what may come from a cache, as long as it is short. */
function asHttp(
  question: Pick<HttpQuestion, 'url' | 'isConfigured' | 'maxBytes' | 'signal'>,
  request: Uint8Array,
  isUnique: boolean,
): HttpQuestion {
  const accept = 'application/ocsp-response';
  const url = `${question.url.replace(/\/$/, '')}/${encodeOcspGetPath(request)}`;
  const hasQuery = question.url.includes('?');
  if (!isUnique && !hasQuery && url.length - question.url.length <= longestGet) {
    return { ...question, url, headers: { accept } };
  }
  const headers = { accept, 'content-type': 'application/ocsp-request' };
  return { ...question, headers, body: request };
}

export interface ReceivedAnswer {
  readonly bytes: Uint8Array;
  readonly from: string;
  readonly nonce?: Uint8Array | undefined;
}

/**
 * Reads and proves an answer (RFC 6960 §3.2), from a responder or from a handshake.
 *
 * @throws CountersignError ERR_REVOCATION_ANSWER, ERR_REVOCATION_UNPROVED
 */
export async function acceptOcspAnswer(
  options: Pick<AskOptions, 'maxAgeMs' | 'clears' | 'now'>,
  subject: OcspSubject,
  received: ReceivedAnswer,
): Promise<OcspKept> {
  const verdict = judgeOcspAnswer(options, subject, received);
  const { delegate } = verdict;
  if (delegate !== undefined) await checkDelegate(options, subject, delegate, received.from);
  return verdict.kept;
}

/** As {@link acceptOcspAnswer}, but for the revocation of a delegate, which takes time to look up. */
export function judgeOcspAnswer(
  options: Pick<AskOptions, 'maxAgeMs' | 'now'>,
  subject: OcspSubject,
  { bytes, from, nonce }: ReceivedAnswer,
): { readonly kept: OcspKept; readonly delegate: Certificate | undefined } {
  const response = read(bytes, from);
  const at = options.now();
  let unchecked: Certificate | undefined;
  const ends = response.basic?.responses.every(({ nextUpdate }) => nextUpdate !== undefined);
  const verdict = checkOcspResponse(response, {
    ...{ certificate: subject.certificate, issuer: subject.issuer, at, nonce },
    ...(ends === false && { maxAgeMs: options.maxAgeMs }),
    checkDelegate(delegate) {
      unchecked = delegate;
      return undefined;
    },
  });
  if (!verdict.ok) throw refused(verdict, from);
  if (verdict.status === 'unknown') {
    const { serialHex } = subject.certificate;
    throw failed('ERR_REVOCATION_ANSWER', from, `responder does not know certificate ${serialHex}`);
  }
  const isRevoked = verdict.status === 'revoked';
  const kept: OcspKept = {
    status: verdict.status,
    reason: isRevoked ? verdict.reason : undefined,
    revokedAt: isRevoked ? verdict.revokedAt : undefined,
    thisUpdate: verdict.thisUpdate,
    nextUpdate: verdict.nextUpdate ?? verdict.thisUpdate + options.maxAgeMs,
    from,
    raw: response.raw,
  };
  return { kept, delegate: unchecked };
}

/**
 * RFC 6960 §4.2.2.2.1: a delegate without id-pkix-ocsp-nocheck may be revoked. Where its issuer names a list for it,
 * that list is asked; where it names none, it has left the delegate to be believed while it is valid.
 */
export function needsClearing(
  { clears }: Pick<AskOptions, 'clears'>,
  delegate: Certificate | undefined,
): boolean {
  return clears !== undefined && delegate?.crlDistributionPoints !== undefined;
}

async function checkDelegate(
  options: Pick<AskOptions, 'clears'>,
  { issuer, above }: OcspSubject,
  delegate: Certificate,
  from: string,
): Promise<void> {
  if (!needsClearing(options, delegate)) return;
  const status = await options.clears?.([delegate, issuer, ...above]);
  if (status === undefined || status.status === 'good') return;
  const why = status.status === 'unknown' ? status.detail : status.status;
  const detail = `its signer ${delegate.serialHex} may be revoked: ${why}`;
  throw failed('ERR_REVOCATION_UNPROVED', from, detail);
}

function read(bytes: Uint8Array, from: string): OcspResponse {
  try {
    return parseOcspResponse(bytes);
  } catch (thrown) {
    const detail = `is no OCSP answer: ${messageOf(thrown)}`;
    throw failed('ERR_REVOCATION_ANSWER', from, detail, thrown);
  }
}

/** A refusal by status (`tryLater`) or by age is no fault of the signature. */
function refused({ code, detail }: Denial, from: string): CountersignError {
  const isAnswer = code === 'ERR_OCSP_RESPONSE_STATUS' || code === 'ERR_OCSP_STALE';
  return failed(isAnswer ? 'ERR_REVOCATION_ANSWER' : 'ERR_REVOCATION_UNPROVED', from, detail);
}

function unnamed({ certificate }: OcspSubject): CountersignError {
  const message = `certificate ${certificate.serialHex} names no OCSP responder at an http address`;
  return new CountersignError('ERR_REVOCATION_UNNAMED', message);
}

function text(ms: number): string {
  return new Date(ms).toISOString();
}

function failed(
  code: 'ERR_REVOCATION_ANSWER' | 'ERR_REVOCATION_UNPROVED' | 'ERR_REVOCATION_REPLAYED',
  from: string,
  detail: string,
  cause?: unknown,
): CountersignError {
  const where = from.startsWith('http') ? `answer of "${from}"` : from;
  return new CountersignError(code, `${where}: ${detail}`, { fields: { from }, cause });
}
