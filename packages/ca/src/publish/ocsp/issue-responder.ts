import { hash } from 'node:crypto';
import { type Clock, errorOfDenial, messageOf } from '@countersign/base';
import {
  type AttributeTypeName,
  attributeOf,
  buildName,
  type Certificate,
  extension,
  formatName,
  generateKeyPair,
  type KeyKind,
  keyIdOf,
  keyKindOf,
  keySigner,
  type Name,
  parseCertificate,
  type Signer,
  type SubjectPublicKeyInfo,
} from '@countersign/x509';
import { constraintsOf } from '../../constraints/name-constraints.ts';
import { type Draft, placeholderSerial } from '../../draft.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { lintDraft } from '../../linted-draft.ts';
import { signDraft } from '../../sign-draft.ts';
import type { PublishingIssuer } from '../publishing-issuer.ts';

export interface ResponderCredential {
  readonly certificate: Certificate;
  /** Its key lives as long as the process, and nowhere else. */
  readonly signer: Signer;
}

const largestSkewMs = 60_000;

/**
 * A delegated OCSP responder certificate (RFC 6960 §4.2.2.2), ordered in the ledger, linted and signed like every other:
 * for one purpose, nobody need ask whether it is revoked, and it does not outlive its issuer.
 *
 * @throws CountersignError ERR_LINT, ERR_SIGNER, ERR_LEDGER_*
 */
export async function issueResponder(options: {
  readonly issuer: PublishingIssuer;
  readonly lifetimeMs: number;
  readonly ledger: Ledger;
  readonly clock: Clock;
}): Promise<ResponderCredential> {
  const { issuer, lifetimeMs, ledger, clock } = options;
  if (issuer.signer === undefined) throw new TypeError(`the key of "${issuer.name}" is not here`);
  const issuing = await issuer.signer();

  // 1. Draft and lint.
  const { privateKey } = await generateKeyPair(kindBelow(issuer.certificate));
  const signer = keySigner(privateKey);
  const now = Math.floor(clock.now() / 1000) * 1000;
  const skewMs = Math.min(largestSkewMs, Math.floor(lifetimeMs / 20));
  const draft = draftResponder(issuer, signer.spki, {
    notBefore: Math.max(issuer.certificate.notBefore, now - skewMs),
    notAfter: Math.min(issuer.certificate.notAfter, now + lifetimeMs),
  });
  const linted = lintDraft(draft, issuing.algorithm);

  // 2. Intent. A crash behind it leaves an orphan, which start-up closes.
  const intent = await ledger.intend({
    grant: { kind: 'operator' },
    names: [`directory:${formatName(draft.subject)}`],
    spkiHash: hash('sha256', signer.spki.raw),
    provisioner: 'ocsp',
    issuer: issuer.name,
    notAfter: draft.notAfter,
  });
  if (!intent.ok) throw errorOfDenial(intent, `order the OCSP responder of "${issuer.name}"`);

  // 3. Sign, and issued.
  const { position, serialHex } = intent;
  const der = await signDraft(linted, intent, issuing).catch(async (thrown: unknown) => {
    // Should this fail too, the intent stays open and start-up closes it.
    await ledger.abandoned(position, messageOf(thrown)).catch(() => {});
    throw thrown;
  });
  await ledger.issued({ intent: position, serialHex, der });
  return { certificate: parseCertificate(der), signer };
}

function draftResponder(
  { name, certificate }: PublishingIssuer,
  spki: SubjectPublicKeyInfo,
  span: { readonly notBefore: number; readonly notAfter: number },
): Draft {
  const keyId = keyIdOf(spki);
  return {
    profile: 'responder',
    kind: keyKindOf(spki) ?? ec256,
    serial: placeholderSerial,
    keyId,
    names: [],
    links: [constraintsOf(certificate)],
    issuedBy: certificate,
    issuer: certificate.subject,
    subject: responderName(name, certificate.subject),
    ...span,
    spki,
    extensions: [
      extension.basicConstraints({ ca: false }),
      extension.keyUsage(['digitalSignature']),
      extension.extKeyUsage(['OCSPSigning']),
      extension.ocspNoCheck(),
      extension.subjectKeyId(keyId),
      extension.authorityKeyId(certificate.subjectKeyId ?? keyIdOf(certificate.spki)),
    ],
  };
}

/** Beside its issuer. With spaces in it, nobody takes the common name for a DNS name. */
function responderName(name: string, issuer: Name): Name {
  const kept: readonly AttributeTypeName[] = ['C', 'O', 'OU'];
  const attributes = kept.flatMap((type) => {
    const value = attributeOf(issuer, type);
    return value === undefined ? [] : [{ type, value }];
  });
  return buildName([...attributes, { type: 'CN', value: `${name} OCSP responder` }]);
}

const ec256: KeyKind = { type: 'EC', curve: 'P-256' };

/** Quick, and of a kind that every client takes; below a post-quantum issuer one that is as strong. */
function kindBelow({ spki }: Certificate): KeyKind {
  const kind = keyKindOf(spki);
  return kind?.type.startsWith('ML-DSA') === true ? kind : ec256;
}
