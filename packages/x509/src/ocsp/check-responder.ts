import { hash } from 'node:crypto';
import { type Denial, denial, equalBytes } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import { findExtension } from '../extension.ts';
import { judgeKey } from '../key-kind.ts';
import { oidName, oids } from '../oids.ts';
import { certificateText, nameText, timeText } from '../path/certificate-text.ts';
import { sameName } from '../path/compare-names.ts';
import { signatureAlgorithmFinding } from '../path/key-rules.ts';
import { verifySignature } from '../signer.ts';
import type { OcspQuestion } from './ocsp-question.ts';
import type { BasicOcspResponse, ResponderId } from './ocsp-response.ts';

export interface OcspSigner {
  readonly ok: true;
  readonly delegate: Certificate | undefined;
}

/**
 * Who signed the answer, and whether the issuer lets it (RFC 6960 §4.2.2.2): the issuer itself, or a certificate of the
 * answer that the issuer has issued for this purpose.
 */
export function checkResponder(
  basic: BasicOcspResponse,
  question: OcspQuestion,
): OcspSigner | Denial {
  const { issuer, verify = verifySignature } = question;
  const { responderId, signatureAlgorithm, tbs, signature } = basic;
  const named = [issuer, ...basic.certificates].filter((candidate) =>
    isNamed(responderId, candidate),
  );
  if (named.length === 0) {
    const sides = `neither the issuer "${certificateText(issuer)}" nor a certificate in it`;
    const detail = `OCSP answer is of responder ${responderText(responderId)}, which is ${sides}`;
    return denial('ERR_OCSP_RESPONDER', detail);
  }
  const signer = named.find(({ spki }) => verify(spki, signatureAlgorithm, tbs, signature));
  if (signer === undefined) {
    const weak = signatureAlgorithmFinding(signatureAlgorithm);
    const detail =
      weak?.detail ?? 'has a signature that does not verify with the key of its responder';
    const whole = `OCSP answer of responder ${responderText(responderId)} ${detail}`;
    return denial('ERR_OCSP_SIGNATURE', whole, { algorithm: signatureAlgorithm.oid });
  }
  if (isKeyOf(signer, issuer)) return { ok: true, delegate: undefined };
  return checkDelegate(signer, question) ?? { ok: true, delegate: signer };
}

function checkDelegate(delegate: Certificate, question: OcspQuestion): Denial | undefined {
  for (const rule of delegateRules) {
    const detail = rule(delegate, question);
    if (detail === undefined) continue;
    const subject = certificateText(delegate);
    const whole = `OCSP responder certificate "${subject}" ${detail}`;
    return denial('ERR_OCSP_DELEGATE', whole, { subject });
  }
  // RFC 6960 §4.2.2.2.1
  if (findExtension(delegate.extensions, oids.ocspNoCheck) !== undefined) return undefined;
  return question.checkDelegate?.(delegate);
}

/** What continues the sentence `OCSP responder certificate "CN=…" …`, or undefined where the rule holds. */
type DelegateRule = (delegate: Certificate, question: OcspQuestion) => string | undefined;

const delegateRules: readonly DelegateRule[] = [
  // RFC 6960 §4.2.2.2: issued directly by the CA that it answers for
  ({ issuer: named }, { issuer }) =>
    sameName(named, issuer.subject)
      ? undefined
      : `is issued by "${nameText(named)}", it must be by "${nameText(issuer.subject)}" itself`,
  checkDelegateSignature,
  // RFC 6960 §4.2.2.2: anyExtendedKeyUsage is not enough
  ({ extKeyUsage = [] }) =>
    extKeyUsage.includes('OCSPSigning')
      ? undefined
      : `allows ${extKeyUsage.slice(0, 10).join(', ') || 'no purpose'}, OCSPSigning is needed`,
  // RFC 5280 §4.2.1.12: the key usage must allow it too
  ({ keyUsage }) =>
    keyUsage === undefined || keyUsage.has('digitalSignature') || keyUsage.has('nonRepudiation')
      ? undefined
      : `has key usage ${[...keyUsage].join(', ')}, digitalSignature is needed`,
  checkDelegateValidity,
  checkDelegateCriticals,
  ({ spki }) => {
    const verdict = judgeKey(spki);
    return verdict.ok ? undefined : `has a public key that is not accepted: ${verdict.detail}`;
  },
];

function checkDelegateSignature(
  delegate: Certificate,
  { issuer, verify = verifySignature }: OcspQuestion,
): string | undefined {
  const { signatureAlgorithm, tbs, signature } = delegate;
  if (verify(issuer.spki, signatureAlgorithm, tbs, signature)) return undefined;
  const weak = signatureAlgorithmFinding(signatureAlgorithm);
  if (weak !== undefined) return weak.detail;
  return `has a signature that does not verify with the key of "${certificateText(issuer)}"`;
}

// RFC 5280 §4.1.2.5: both ends belong to the period, in whole seconds
function checkDelegateValidity(
  { notBefore, notAfter }: Certificate,
  { at }: OcspQuestion,
): string | undefined {
  const now = Math.floor(at / 1000) * 1000;
  if (now > notAfter) return `expired: notAfter ${timeText(notAfter)}, now ${timeText(now)}`;
  if (now >= notBefore) return undefined;
  return `is not yet valid: notBefore ${timeText(notBefore)}, now ${timeText(now)}`;
}

function checkDelegateCriticals({ unknownCriticalExtensions }: Certificate): string | undefined {
  const unknown = unknownCriticalExtensions.find((oid) => oid !== oids.ocspNoCheck);
  if (unknown === undefined) return undefined;
  return `has the critical extension "${oidName(unknown)}", which is not known here`;
}

function isNamed(id: ResponderId, { subject, spki }: Certificate): boolean {
  if (id.kind === 'name') return sameName(id.name, subject);
  return equalBytes(id.keyHash, hash('sha1', spki.bits, 'buffer'));
}

/** A copy of the issuer's certificate in the answer, or another one for its key, is the issuer too. */
function isKeyOf(signer: Certificate, issuer: Certificate): boolean {
  return signer === issuer || equalBytes(signer.spki.raw, issuer.spki.raw);
}

function responderText(id: ResponderId): string {
  return id.kind === 'name'
    ? `"${nameText(id.name)}"`
    : `with key hash ${Buffer.from(id.keyHash.subarray(0, 32)).toString('hex')}`;
}
