import { hash } from 'node:crypto';
import {
  CountersignError,
  type Denial,
  denial,
  equalBytes,
  fromHex,
  messageOf,
  toHex,
} from '@countersign/base';
import {
  assembleCertificate,
  buildCertificateRequest,
  type Certificate,
  certificatesFromPem,
  defaultAlgorithmOf,
  fingerprintOf,
  parseCertificate,
  parseCertificateRequest,
  type SubjectPublicKeyInfo,
  signatureAlgorithmOf,
  verifySignature,
} from '@countersign/x509';
import { formatCarriedRequest } from '../ceremony/carried-request.ts';
import { draftByRoot } from '../ceremony/draft-by-root.ts';
import { carriedExtensions } from '../ceremony/sign-request.ts';
import type { AuthorityDraftFacts } from '../draft.ts';
import { authorityFacts, orderAuthority } from '../hierarchy.ts';
import { carriedProvisioner } from '../ledger/covers.ts';
import { lintDraft } from '../linted-draft.ts';
import { activeOf, certifiedBy, rootName, trustedOf } from './hierarchy-view.ts';
import type { RotationContext } from './rotation-context.ts';
import {
  type CarriedOrder,
  configNameOf,
  type Generation,
  ledgerNameOf,
  type RotationDocument,
} from './rotation-document.ts';

/*
 * What an offline key has to sign when a key is replaced: ordered in the ledger here, carried there as requests, taken
 * back as exactly what was asked for.
 */

/** PEM that was carried here, with the name of its file for messages. */
export interface CarriedFile {
  readonly file: string;
  readonly text: string;
}

export interface TakenCertificate {
  readonly subject: string;
  readonly by: string;
  readonly serial: string;
  /** SHA-256 of its DER, lowercase hex. */
  readonly sha256: string;
}

/** A certificate that was given beside those that are waited for. */
export interface PassedOver {
  readonly file: string;
  readonly serial: string;
  /** Why it is no news here. */
  readonly why: string;
}

export interface WaitingRequest {
  /** Its name as a file. */
  readonly file: string;
  /** Ledger name of who is to sign it, and the SHA-256 of that key. */
  readonly by: string;
  readonly issuerKey: string;
  /** SHA-256 of the request's DER. */
  readonly sha256: string;
  readonly text: string;
}

/** One key by another. */
interface Need {
  readonly subject: Generation;
  readonly by: Generation;
}

/** Everything that offline keys have to sign before a key in the making is prepared; the first is a root by itself. */
export function needsOf(
  making: Generation,
  document: RotationDocument,
  { config }: RotationContext,
): readonly Need[] {
  const { name } = making;
  if (name !== rootName) {
    return trustedOf(document, rootName).map((by) => ({ subject: making, by }));
  }
  const before = activeOf(document, rootName);
  const below = config.intermediates
    .filter(({ issuer }) => issuer === rootName)
    .flatMap((each) => trustedOf(document, each.name));
  return [
    { subject: making, by: making },
    { subject: making, by: before },
    { subject: before, by: making },
    ...below.map((subject) => ({ subject, by: making })),
  ];
}

export function orderOf(need: Need, { orders }: RotationDocument): CarriedOrder | undefined {
  const [subject, by] = [ledgerNameOf(need.subject), ledgerNameOf(need.by)];
  return orders.find((each) => each.subject === subject && each.by === by);
}

/**
 * Orders what is needed and not ordered yet. Crash: an intent that is in no document; {@link closeStrays} ends it.
 *
 * @param rootRequest of a root in the making: DER of the request by its key
 */
export async function orderNeeds(
  needs: readonly Need[],
  document: RotationDocument,
  context: RotationContext,
  rootRequest: Uint8Array | undefined,
): Promise<readonly CarriedOrder[]> {
  const { config } = context;
  const orders: CarriedOrder[] = [];
  for (const need of needs) {
    const { subject, by } = need;
    const known = { ...document, orders: [...document.orders, ...orders] };
    if (certifiedBy(subject, by) !== undefined || orderOf(need, known) !== undefined) continue;
    const [who, signer] = [ledgerNameOf(subject), ledgerNameOf(by)];
    const own = subject.certificates[0]?.certificate;
    const isRoot = subject.name === rootName;
    const request = known.orders.find((each) => each.subject === who)?.asks ?? rootRequest;
    const key = isRoot ? undefined : await context.signerOf(subject);
    const spki =
      own?.spki ?? key?.spki ?? parseCertificateRequest(request ?? new Uint8Array()).spki;
    const level = isRoot
      ? config.root
      : config.intermediates.find((each) => each.name === subject.name);
    if (level === undefined) throw new TypeError(`an intermediate "${subject.name}"`);
    const issuing = who === signer ? undefined : issuingOf(by, known, context);
    const facts = authorityFacts(level, spki, context);
    const draft = draftByRoot(subject.name, facts, issuing, config);
    const { notBefore, notAfter } = draft;
    const asks =
      key === undefined
        ? (own?.raw ?? request ?? new Uint8Array())
        : await buildCertificateRequest({
            signer: key,
            subject: draft.subject,
            extensions: carriedExtensions(draft),
          });
    const { position, serialHex } = await orderAuthority(
      draft,
      signer,
      context,
      carriedProvisioner,
    );
    orders.push({
      ...{ subject: who, by: signer, intent: position, serialHex, notBefore, notAfter, asks },
      isCertificate: key === undefined && own !== undefined,
      certificate: undefined,
    });
  }
  return orders;
}

/** The requests that still wait for their certificates, as files. */
export function waitingRequests(document: RotationDocument): readonly WaitingRequest[] {
  return document.orders
    .filter((each) => each.certificate === undefined)
    .map((order) => {
      const { subject, by, serialHex, notBefore, notAfter, asks, isCertificate } = order;
      const issuerKey = hash('sha256', spkiOf(by, document).raw);
      const text = formatCarriedRequest({
        ...{ name: configNameOf(subject), issuerKey, serialHex, notBefore, notAfter },
        ...{ csr: asks, isCertificate },
      });
      return { file: `${subject}-by-${by}.csr`, by, issuerKey, sha256: hash('sha256', asks), text };
    });
}

/**
 * Certificates that were carried back: each must be exactly what was asked for, by the key that was asked. From here on
 * the ledger has them. What was carried back is seldom taken away: those of an earlier time are passed over.
 *
 * Denials: ERR_CEREMONY_REQUEST, by the name of the file; nothing is taken then.
 */
export async function takeCarried(
  files: readonly CarriedFile[],
  document: RotationDocument,
  context: RotationContext,
): Promise<
  | {
      readonly ok: true;
      readonly orders: readonly CarriedOrder[];
      readonly taken: readonly TakenCertificate[];
      readonly passedOver: readonly PassedOver[];
    }
  | Denial
> {
  const given = files.flatMap(({ file, text }) =>
    certificatesOf(text, file).map((certificate) => ({ file, certificate })),
  );
  let known = document;
  const taken: TakenCertificate[] = [];
  const passedOver: PassedOver[] = [];
  // A root by itself first: what it signed is held to its own certificate.
  const isOwn = ({ subject, by }: CarriedOrder) => subject === by;
  const sorted = given.toSorted((a, b) => rank(a.certificate) - rank(b.certificate));
  function rank({ serialHex }: Certificate): number {
    return document.orders.some((each) => each.serialHex === serialHex && isOwn(each)) ? 0 : 1;
  }
  for (const { file, certificate } of sorted) {
    const { serialHex } = certificate;
    const order = known.orders.find((each) => each.serialHex === serialHex);
    if (order === undefined) {
      const why = await whyNoNews(certificate, document, context);
      if (why === undefined) {
        return refusal(file, `has serial "${serialHex}", which nothing that waits here has`);
      }
      passedOver.push({ file, serial: serialHex, why });
      continue;
    }
    if (order.certificate !== undefined && equalBytes(order.certificate.raw, certificate.raw)) {
      passedOver.push({ file, serial: serialHex, why: 'it was taken before' });
      continue;
    }
    const wrong = wrongWith(certificate, order, known, context);
    if (wrong !== undefined)
      return refusal(file, `for "${order.subject}" by "${order.by}" ${wrong}`);
    const orders = known.orders.map((each) => (each === order ? { ...each, certificate } : each));
    known = { ...known, orders };
    const { subject, by } = order;
    taken.push({ subject, by, serial: serialHex, sha256: fingerprintOf(certificate) });
  }
  for (const { serialHex, intent, certificate } of known.orders) {
    if (certificate === undefined) continue;
    if ((await context.ledger.certificate(serialHex)) !== undefined) continue;
    await context.ledger.issued({ intent, serialHex, der: certificate.raw });
  }
  return { ok: true, orders: known.orders, taken, passedOver };
}

async function whyNoNews(
  { serialHex, raw }: Certificate,
  { generations }: RotationDocument,
  { ledger }: RotationContext,
): Promise<string | undefined> {
  const all = generations.flatMap(({ certificates }) => certificates);
  if (all.some(({ certificate }) => equalBytes(certificate.raw, raw))) {
    return 'the hierarchy has it already';
  }
  const record = await ledger.certificate(serialHex);
  if (record !== undefined) {
    return equalBytes(record.der, raw) ? 'the ledger has it already' : undefined;
  }
  const ordered = await ledger.certificateStatus(serialHex);
  const wasCarried =
    ordered.status !== 'unknown' && ordered.certificate.provisioner === carriedProvisioner;
  return wasCarried ? 'its order was given up' : undefined;
}

/** Ends what was ordered for a key that is given up. @returns what was ordered for others; may be repeated */
export async function giveUpOrders(
  given: Generation,
  { document, ledger }: RotationContext,
): Promise<readonly CarriedOrder[]> {
  const name = ledgerNameOf(given);
  const { orders } = document();
  const isOf = ({ subject, by }: CarriedOrder) => subject === name || by === name;
  const open = new Set((await ledger.openIntents()).map(({ position }) => position));
  for (const { intent, serialHex: value, subject, by } of orders.filter(isOf)) {
    if (open.has(intent)) await ledger.abandoned(intent, `key "${name}" was given up`);
    // A crash may have come before the document had what the ledger took.
    if (subject === by || (await ledger.certificate(value)) === undefined) continue;
    const reason = 'cessationOfOperation' as const;
    await ledger.revoke({ by: 'serial', value, reason, orderedBy: 'operator' });
  }
  return orders.filter((each) => !isOf(each));
}

/** Orders that a crash left in no document. Another process may be about to write those of the last minutes. */
export async function closeStrays({ document, ledger, clock }: RotationContext): Promise<void> {
  const known = new Set(document().orders.map(({ intent }) => intent));
  for (const { position, provisioner, at } of await ledger.openIntents()) {
    const isStray = provisioner === carriedProvisioner && !known.has(position);
    if (!isStray || at > clock.now() - strayAfterMs) continue;
    await ledger.abandoned(position, 'its request was never carried');
  }
}

const strayAfterMs = 10 * 60_000;

function wrongWith(
  certificate: Certificate,
  order: CarriedOrder,
  document: RotationDocument,
  context: RotationContext,
): string | undefined {
  const { subject, by, serialHex, notBefore, notAfter } = order;
  const { config } = context;
  const signer = spkiOf(by, document);
  const algorithm = signatureAlgorithmOf(certificate.signatureAlgorithm);
  const { signatureAlgorithm, tbs, signature } = certificate;
  if (algorithm === undefined || !verifySignature(signer, signatureAlgorithm, tbs, signature)) {
    return `is not signed by the key "${hash('sha256', signer.raw)}"`;
  }
  const isOwn = subject === by;
  const issuer = isOwn ? undefined : generationNamed(by, document);
  const issuing = issuer && certifiedBy(issuer, issuer);
  const own = document.orders.find((each) => each.subject === by && each.by === by)?.certificate;
  if (!isOwn && issuing === undefined && own === undefined) {
    return `comes before "${by}" by itself: give that first, or together with it`;
  }
  const facts = factsOf(order, document, context);
  const draft = draftByRoot(configNameOf(subject), facts, issuing ?? own, config);
  const expected = lintDraft(draft, algorithm).spend(fromHex(serialHex) ?? new Uint8Array());
  if (equalBytes(expected, tbs)) return undefined;
  const asked = `${toHex(facts.spki.raw) === toHex(certificate.spki.raw) ? 'the' : 'another'} key`;
  const span = `${new Date(notBefore).toISOString()} to ${new Date(notAfter).toISOString()}`;
  return `is not the one that was asked for, which is for ${span}; it has ${asked}`;
}

function factsOf(
  { subject, notBefore, notAfter }: CarriedOrder,
  document: RotationDocument,
  context: RotationContext,
): AuthorityDraftFacts {
  const { trustDomain } = context.config;
  return { trustDomain, spki: spkiOf(subject, document), notBefore, notAfter };
}

/** Of a key by its name in the ledger, with a certificate or without. */
function spkiOf(name: string, document: RotationDocument): SubjectPublicKeyInfo {
  const [first] = generationNamed(name, document)?.certificates ?? [];
  if (first !== undefined) return first.certificate.spki;
  const order = document.orders.find((each) => each.subject === name && !each.isCertificate);
  if (order === undefined) throw new TypeError(`a key "${name}"`);
  return parseCertificateRequest(order.asks).spki;
}

function generationNamed(name: string, { generations }: RotationDocument): Generation | undefined {
  return generations.find((each) => ledgerNameOf(each) === name);
}

/**
 * Of a root that signs: its own certificate, or what that is going to be but for its signature. Names, dates and key
 * identifier of what is below it follow from that already.
 */
function issuingOf(
  by: Generation,
  document: RotationDocument,
  context: RotationContext,
): Certificate {
  const known = certifiedBy(by, by);
  if (known !== undefined) return known;
  const name = ledgerNameOf(by);
  const order = document.orders.find((each) => each.subject === name && each.by === name);
  if (order === undefined) throw new TypeError(`an order of "${name}" by itself`);
  const { config } = context;
  const facts = factsOf(order, document, context);
  const algorithm = defaultAlgorithmOf(config.root.key);
  if (algorithm === undefined) throw new TypeError('an algorithm of the root');
  const draft = draftByRoot(rootName, facts, undefined, config);
  const tbs = lintDraft(draft, algorithm).spend(fromHex(order.serialHex) ?? new Uint8Array());
  return parseCertificate(assembleCertificate(tbs, algorithm, new Uint8Array(64)));
}

function certificatesOf(text: string, file: string): Certificate[] {
  try {
    return certificatesFromPem(text);
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    const message = `read the certificate in "${file}": ${messageOf(thrown)}`;
    throw new CountersignError(thrown.code, message, { fields: thrown.fields, cause: thrown });
  }
}

function refusal(file: string, wrong: string): Denial {
  return denial('ERR_CEREMONY_REQUEST', `certificate in "${file}" ${wrong}`, { file });
}
