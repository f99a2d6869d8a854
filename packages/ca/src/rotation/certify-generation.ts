import { hash } from 'node:crypto';
import { equalBytes } from '@countersign/base';
import {
  type Certificate,
  parseCertificate,
  type Signer,
  type SubjectPublicKeyInfo,
} from '@countersign/x509';
import type { CaConfig, IntermediateConfig } from '../ca-config.ts';
import { linkConfig } from '../ceremony/draft-by-root.ts';
import { constraintsOf } from '../constraints/name-constraints.ts';
import { type Draft, draftRoot, type IssuingAuthority } from '../draft.ts';
import { authorityFacts, certify, draftBelow, type HierarchyContext } from '../hierarchy.ts';
import { activeOf, certificateInForce, rootName, selfSigned } from './hierarchy-view.ts';
import { type Generation, ledgerNameOf, type RotationDocument } from './rotation-document.ts';

export interface CertifyContext extends HierarchyContext {
  /** Opens the key of a generation. */
  readonly signerOf: (generation: Generation) => Promise<Signer>;
}

/** The self-signed certificate of a new root. */
export async function certifyRoot(
  root: Generation,
  spki: SubjectPublicKeyInfo,
  context: CertifyContext,
): Promise<Certificate> {
  const { config } = context;
  const draft = draftRoot(config.root, authorityFacts(config.root, spki, context));
  return certifyOnce(draft, root, undefined, context);
}

/** A root's certificate by the root before it: who trusts that one alone gets to it by this. */
export async function certifyLink(
  root: Generation,
  before: Generation,
  context: CertifyContext,
): Promise<Certificate> {
  const { spki } = selfSigned(root);
  const link = linkConfig(context.config);
  const issuing = selfSigned(before);
  const draft = draftLevel(link, { spki, by: before, issuing, links: [] }, context);
  return certifyOnce(draft, before, issuing, context);
}

/** The certificate of an intermediate's generation by a generation of its issuer. */
export async function certifyBelow(
  intermediate: IntermediateConfig,
  spki: SubjectPublicKeyInfo,
  by: Generation,
  document: RotationDocument,
  context: CertifyContext,
): Promise<Certificate> {
  const { config } = context;
  const issuing = certificateInForce(document, by, issuerNameOf(by.name, config));
  const links = linksOf(by, issuing, document, config);
  const draft = draftLevel(intermediate, { spki, by, issuing, links }, context);
  return certifyOnce(draft, by, issuing, context);
}

/** Name of who issues an intermediate. */
export function issuerNameOf(name: string, { intermediates }: CaConfig): string {
  return intermediates.find((each) => each.name === name)?.issuer ?? rootName;
}

function draftLevel(
  config: IntermediateConfig,
  about: {
    readonly spki: SubjectPublicKeyInfo;
    readonly by: Generation;
    readonly issuing: Certificate;
    readonly links: IssuingAuthority['links'];
  },
  context: CertifyContext,
): Draft {
  const { spki, by, issuing, links } = about;
  const facts = authorityFacts(config, spki, context);
  const issuer = { name: by.name, certificate: issuing, links };
  const draft = draftBelow(config, facts, issuer, context.config);
  // Clamped to the issuer on both sides: its own successor may be made before it is a minute old.
  return { ...draft, notBefore: Math.max(draft.notBefore, issuing.notBefore) };
}

function linksOf(
  by: Generation,
  issuing: Certificate,
  document: RotationDocument,
  config: CaConfig,
): IssuingAuthority['links'] {
  if (by.name === rootName) return [];
  const above = issuerNameOf(by.name, config);
  if (above === rootName) return [constraintsOf(issuing)];
  const aboveActive = activeOf(document, above);
  const certificate = certificateInForce(document, aboveActive, issuerNameOf(above, config));
  return [constraintsOf(issuing), ...linksOf(aboveActive, certificate, document, config)];
}

/** A crash may have come between this certificate and the document that was to hold it: then it is in the ledger. */
async function certifyOnce(
  draft: Draft,
  by: Generation,
  issuing: Certificate | undefined,
  context: CertifyContext,
): Promise<Certificate> {
  const { ledger, clock } = context;
  const issuer = ledgerNameOf(by);
  const spkiHash = hash('sha256', draft.spki.raw);
  const now = clock.now();
  const found = await ledger.findCertificates({ spkiHash, validAt: now, limit: 100 });
  for (const record of found) {
    if (record.issuer !== issuer) continue;
    const certificate = parseCertificate(record.der);
    const isAsDrafted =
      equalBytes(certificate.subject.raw, draft.subject.raw) &&
      certificate.extensions.length === draft.extensions.length &&
      draft.extensions.every(({ oid, value }) =>
        certificate.extensions.some((each) => each.oid === oid && equalBytes(each.value, value)),
      );
    const { status } = await ledger.certificateStatus(record.serialHex);
    const isFresh = certificate.notAfter - now >= (draft.notAfter - now) * freshFrom;
    if (isAsDrafted && status === 'good' && (issuing === undefined || isFresh)) return certificate;
  }
  const signer = await context.signerOf(by);
  return certify(draft, { name: issuer, signer }, context);
}

/** Of the lifetime that a new one would have. */
const freshFrom = 0.9;
