import { type Denial, denial, equalBytes } from '@countersign/base';
import { oidName } from '../oids.ts';
import { certificateText, nameText, timeText } from '../path/certificate-text.ts';
import { sameName } from '../path/compare-names.ts';
import { isCertIdOf } from './cert-id.ts';
import { checkResponder } from './check-responder.ts';
import type { OcspKnown, OcspQuestion, OcspVerdict } from './ocsp-question.ts';
import type {
  BasicOcspResponse,
  OcspCertStatus,
  OcspResponse,
  OcspSingleResponse,
} from './ocsp-response.ts';

/**
 * Whether an answer may be believed (RFC 6960 §3.2), and what it says. `ok` means proved, not good: look at `status`.
 *
 * Refuses with ERR_OCSP_RESPONSE_STATUS, ERR_OCSP_CERT_ID, ERR_OCSP_CRITICAL_UNKNOWN, ERR_OCSP_RESPONDER,
 * ERR_OCSP_DELEGATE, ERR_OCSP_SIGNATURE, ERR_OCSP_NONCE_MISMATCH, ERR_OCSP_STALE, and with what `checkDelegate` gives.
 * Never throws for what the answer contains.
 */
export function checkOcspResponse(
  response: OcspResponse,
  question: OcspQuestion,
): OcspVerdict | Denial {
  // 1. an answer at all
  const { basic, status } = response;
  if (basic === undefined) {
    const detail = `OCSP responder gave no answer but the status "${status}"`;
    return denial('ERR_OCSP_RESPONSE_STATUS', detail, { status });
  }

  // 2. about this certificate of this issuer
  const single = findAnswer(basic, question);
  if ('code' in single) return single;

  // 3. understood
  const [unknown] = [...basic.unknownCriticalExtensions, ...single.unknownCriticalExtensions];
  if (unknown !== undefined) {
    const detail = `OCSP answer has the critical extension "${oidName(unknown)}", which is not known here`;
    return denial('ERR_OCSP_CRITICAL_UNKNOWN', detail, { oid: unknown });
  }

  // 4. signed by the issuer, or by whom the issuer has told to
  const responder = checkResponder(basic, question);
  if (!responder.ok) return responder;

  // 5. to this question
  const replayed = checkNonce(basic, question);
  if (replayed !== undefined) return replayed;

  // 6. and fresh
  const stale = checkFreshness(single, basic, question);
  if (stale !== undefined) return stale;

  const { thisUpdate, nextUpdate } = single;
  const { producedAt } = basic;
  const { delegate } = responder;
  return { ok: true, ...knownOf(single.status), thisUpdate, nextUpdate, producedAt, delegate };
}

// RFC 6960 §3.2, 1: the certificate of the answer is the one of the question
function findAnswer(
  basic: BasicOcspResponse,
  { certificate, issuer }: OcspQuestion,
): OcspSingleResponse | Denial {
  const subject = certificateText(certificate);
  const { serialHex } = certificate;
  if (!sameName(certificate.issuer, issuer.subject)) {
    const sides = `names the issuer "${nameText(certificate.issuer)}", "${nameText(issuer.subject)}" is given`;
    const detail = `OCSP answer cannot be about certificate "${subject}", which ${sides}`;
    return denial('ERR_OCSP_CERT_ID', detail, { subject });
  }
  // the hash is over the name as the certificate has it
  const known = { subject: certificate.issuer, spki: issuer.spki };
  const answers = basic.responses.filter(({ certId }) => isCertIdOf(certId, certificate, known));
  const [first, ...others] = answers;
  if (first === undefined) {
    const named = `certificate "${subject}", serial "${serialHex}"`;
    const detail = `OCSP answer does not speak of ${named}, of issuer "${nameText(issuer.subject)}" and its key`;
    const answered = basic.responses.slice(0, 10).map(({ certId }) => certId.serialHex);
    return denial('ERR_OCSP_CERT_ID', detail, { subject, serialHex, answered });
  }
  const contrary = others.find(({ status }) => status.status !== first.status.status);
  if (contrary === undefined) return first;
  const sides = `"${first.status.status}" and "${contrary.status.status}"`;
  const detail = `OCSP answer contradicts itself about certificate "${subject}": ${sides}`;
  return denial('ERR_OCSP_CERT_ID', detail, { subject, serialHex });
}

// RFC 9654 §2.1
function checkNonce(
  basic: BasicOcspResponse,
  { nonce, missingNonce = 'refuse' }: OcspQuestion,
): Denial | undefined {
  if (nonce === undefined) return undefined;
  if (basic.nonce === undefined) {
    if (missingNonce === 'accept') return undefined;
    return denial('ERR_OCSP_NONCE_MISMATCH', 'OCSP answer has no nonce, the request has one');
  }
  if (equalBytes(basic.nonce, nonce)) return undefined;
  return denial('ERR_OCSP_NONCE_MISMATCH', 'OCSP answer has another nonce than the request');
}

// RFC 6960 §3.2, 5 and 6, §4.2.2.1
function checkFreshness(
  { thisUpdate, nextUpdate }: OcspSingleResponse,
  { producedAt }: BasicOcspResponse,
  { at, maxAgeMs, skewMs = defaultSkewMs }: OcspQuestion,
): Denial | undefined {
  const now = Math.floor(at / 1000) * 1000;
  const facts = { thisUpdate, nextUpdate, now, skewMs };
  const told = `thisUpdate ${timeText(thisUpdate)}, now ${timeText(now)}`;
  // written so that a time that is no number fails
  if (!(now + skewMs >= Math.max(thisUpdate, producedAt))) {
    const detail = `OCSP answer is from the future: ${told}, produced at ${timeText(producedAt)}`;
    return denial('ERR_OCSP_STALE', detail, facts);
  }
  if (nextUpdate !== undefined && nextUpdate < thisUpdate) {
    const detail = `OCSP answer ends before it begins: thisUpdate ${timeText(thisUpdate)}, nextUpdate ${timeText(nextUpdate)}`;
    return denial('ERR_OCSP_STALE', detail, facts);
  }
  if (nextUpdate === undefined && maxAgeMs === undefined) {
    const detail =
      'OCSP answer does not say when its next update is due, and no maximum age is set';
    return denial('ERR_OCSP_STALE', detail, facts);
  }
  if (nextUpdate !== undefined && !(now - skewMs <= nextUpdate)) {
    const detail = `OCSP answer is stale: nextUpdate ${timeText(nextUpdate)}, now ${timeText(now)}`;
    return denial('ERR_OCSP_STALE', detail, facts);
  }
  if (maxAgeMs === undefined || now - thisUpdate <= maxAgeMs + skewMs) return undefined;
  const detail = `OCSP answer is older than ${maxAgeMs} ms: ${told}`;
  return denial('ERR_OCSP_STALE', detail, { ...facts, maxAgeMs });
}

const defaultSkewMs = 60_000;

function knownOf(status: OcspCertStatus): OcspKnown {
  if (status.status !== 'revoked') return status;
  return { status: 'revoked', reason: status.reason, revokedAt: status.at };
}
