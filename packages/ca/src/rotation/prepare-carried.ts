import { type Denial, denial, equalBytes } from '@countersign/base';
import {
  type CertificateRequest,
  certificateRequestFromPem,
  formatKeyKind,
  keyKindOf,
  verifyPossession,
} from '@countersign/x509';
import {
  type CarriedFile,
  closeStrays,
  needsOf,
  orderNeeds,
  orderOf,
  takeCarried,
} from './carried-orders.ts';
import {
  activeOf,
  generationsOf,
  inPhase,
  rootName,
  withCertificate,
  withGeneration,
} from './hierarchy-view.ts';
import { descriptionOf, keyInMaking, proveLink } from './key-in-making.ts';
import type { StepResult } from './prepare-rotation.ts';
import type { RotationContext } from './rotation-context.ts';
import { type Generation, ledgerNameOf, type RotationDocument } from './rotation-document.ts';

/**
 * A new key for an offline root, or for an intermediate right below one. What offline keys have to sign is ordered, and
 * waits to be carried; each call takes what was carried back, orders what is missing by now, and ends when all of it is
 * there. A root's key is made where the root is, and begins here with the request by it.
 *
 * Crash: after 1, a generation that is `making`; after 2, the same with orders in no document, which a later call ends; after
 * 3, certificates in the ledger that the next call finds; after 4, prepared.
 *
 * Denials: ERR_ROTATION_OFFLINE (a root's key is not made yet), ERR_CEREMONY_REQUEST (a file is not what waits here).
 *
 * @throws CountersignError ERR_LEDGER_DOCUMENT, ERR_SIGNER_*, ERR_LINT, ERR_LEDGER_*, of what was carried ERR_PEM_* and the like
 */
export async function prepareCarried(
  name: string,
  order: { readonly by: string; readonly carried: readonly CarriedFile[] },
  context: RotationContext,
): Promise<StepResult> {
  const { by, carried } = order;
  await closeStrays(context);

  // 1. The key: one that was made before, of a root by the request that was carried here.
  const isRequest = ({ text }: CarriedFile) => text.includes('-----BEGIN CERTIFICATE REQUEST-----');
  const [requestFile, another] = carried.filter(isRequest);
  if (another !== undefined)
    return refusal(another, 'is a second request, one key is made at a time');
  let done = false;
  let rootRequest: CertificateRequest | undefined;
  if (name === rootName) {
    const begun = readRootRequest(requestFile, context);
    if (begun !== undefined && !begun.ok) return begun;
    rootRequest = begun?.request;
  } else if (requestFile !== undefined) {
    return refusal(requestFile, `is a request, the key of "${name}" is made here`);
  } else if (inPhase(context.document(), name, 'making') === undefined) {
    const { key: kind, storage } = descriptionOf(name, context);
    await keyInMaking(name, { kind, storage, by }, context);
    done = true;
  }

  // 2. What offline keys have to sign, ordered.
  const found = inPhase(context.document(), name, 'making');
  if (found === undefined && rootRequest === undefined) {
    const message = `prepare a new key of "${name}": the root is offline, and so is its next key to be`;
    return denial('ERR_ROTATION_OFFLINE', message, { name });
  }
  const making = found ?? newRoot(context);
  const ordered = await orderMissing(making, by, context, rootRequest?.raw);
  done ||= ordered;

  // 3. What was carried back.
  const files = carried.filter((each) => !isRequest(each));
  const took = await takeCarried(files, context.document(), context);
  if (!took.ok) return took;
  const { orders, taken } = took;
  const passedOver = took.passedOver.length > 0 ? took.passedOver : undefined;
  const came = { taken, ...(passedOver !== undefined && { passedOver }) };
  if (taken.length > 0) {
    const detail = taken.map((each) => `${each.subject} by ${each.by} ${each.sha256}`).join(', ');
    const said = { by, asked: 'import', subject: name, detail };
    await context.commit({ ...context.document(), orders }, said);
    done = true;
  }

  // 4. Prepared, in one step, once nothing waits.
  const document = context.document();
  const needs = needsOf(making, document, context);
  const isWhole = needs.every((need) => orderOf(need, document)?.certificate !== undefined);
  if (!isWhole) return { ok: true, done, ...came };
  const said = { by, asked: 'prepare', subject: name, detail: ledgerNameOf(making) };
  await context.commit(prepared(making, document, context), said);
  context.log.info({ authority: name, generation: making.number }, 'new key is prepared');
  return { ok: true, done: true, ...came };
}

/** The generation of a root whose key is elsewhere. */
function newRoot({ document, clock }: RotationContext): Generation {
  const numbers = generationsOf(document(), rootName).map((each) => each.number);
  const number = Math.max(...numbers) + 1;
  return {
    ...{ name: rootName, number, phase: 'making', key: undefined, certificates: [] },
    since: clock.now(),
    spans: [],
  };
}

/** @returns whether there was anything to order */
async function orderMissing(
  making: Generation,
  by: string,
  context: RotationContext,
  rootRequest: Uint8Array | undefined,
): Promise<boolean> {
  const document = withGeneration(context.document(), making);
  const needs = needsOf(making, document, context);
  const orders = await orderNeeds(needs, document, context, rootRequest);
  if (orders.length === 0) return false;
  const detail = orders.map((each) => `${each.subject} by ${each.by} ${each.serialHex}`).join(', ');
  const said = { by, asked: 'order', subject: making.name, detail };
  await context.commit({ ...document, orders: [...document.orders, ...orders] }, said);
  return true;
}

function prepared(
  making: Generation,
  document: RotationDocument,
  context: RotationContext,
): RotationDocument {
  const own = ledgerNameOf(making);
  const mine = document.orders.filter(({ subject, by }) => subject === own || by === own);
  let next = document;
  for (const { subject, by, certificate } of mine) {
    const generation = next.generations.find((each) => ledgerNameOf(each) === subject);
    const signer = next.generations.find((each) => ledgerNameOf(each) === by);
    if (generation === undefined || signer === undefined || certificate === undefined) continue;
    next = withGeneration(next, withCertificate(generation, signer, certificate));
  }
  const whole = next.generations.find((each) => ledgerNameOf(each) === own);
  if (whole === undefined) throw new TypeError(`a generation "${own}"`);
  if (making.name === rootName) proveLink(whole, activeOf(document, rootName));
  next = withGeneration(next, { ...whole, phase: 'prepared', since: context.clock.now() });
  const sequence = document.sequence + (making.name === rootName ? 1 : 0);
  return { ...next, sequence, orders: document.orders.filter((each) => !mine.includes(each)) };
}

/** Of the next root's key: undefined where none was carried. */
function readRootRequest(
  file: CarriedFile | undefined,
  context: RotationContext,
): { readonly ok: true; readonly request: CertificateRequest | undefined } | Denial | undefined {
  if (file === undefined) return undefined;
  const request = certificateRequestFromPem(file.text);
  const { root } = context.config;
  const kind = keyKindOf(request.spki);
  const [found, wanted] = [kind && formatKeyKind(kind), formatKeyKind(root.key)];
  if (found !== wanted)
    return refusal(file, `has a key ${found}, ca.yaml has ${wanted} for the root`);
  if (!verifyPossession(request)) return refusal(file, 'is not signed by the key that it is for');
  const document = context.document();
  const known = document.generations.find(({ certificates: [first] }) =>
    first === undefined ? false : equalBytes(first.certificate.spki.raw, request.spki.raw),
  );
  if (known !== undefined) return refusal(file, `has the key of "${ledgerNameOf(known)}"`);
  const making = inPhase(document, rootName, 'making');
  const name = making && ledgerNameOf(making);
  const own = document.orders.find(({ subject, by }) => subject === name && by === name);
  if (own === undefined || equalBytes(own.asks, request.raw)) return { ok: true, request };
  return refusal(
    file,
    `is of another key than "${name}", which is in the making: roll that back first`,
  );
}

function refusal({ file }: CarriedFile, wrong: string): Denial {
  return denial('ERR_CEREMONY_REQUEST', `request in "${file}" ${wrong}`, { file });
}
