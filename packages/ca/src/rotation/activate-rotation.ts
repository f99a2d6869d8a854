import { CountersignError, type Denial, denial } from '@countersign/base';
import { bundleDigest } from '@countersign/spiffe';
import { type Certificate, validatePath } from '@countersign/x509';
import { certifyBelow } from './certify-generation.ts';
import {
  activeOf,
  anchorsOf,
  certifiedBy,
  inPhase,
  rootName,
  selfSigned,
  trustedOf,
  withCertificate,
  withGeneration,
} from './hierarchy-view.ts';
import { measureUptake, type Uptake } from './measure-uptake.ts';
import type { StepResult } from './prepare-rotation.ts';
import { mustBeKnown, type RotationContext } from './rotation-context.ts';
import { type Generation, ledgerNameOf, type RotationDocument } from './rotation-document.ts';

export interface ActivateOrder {
  /** Of the holders of the bundle, from 0 to 1, that must hold the new root. Default 1. */
  readonly threshold?: number | undefined;
  /** Whoever lacks it. */
  readonly force?: boolean | undefined;
  readonly by: string;
}

/**
 * The prepared key signs from here on: what is directly below it is certified anew, with the same keys, and everything
 * issued from now on leads to it. Whoever has the bundle of before gets there by the root before.
 *
 * Crash: before 4, nothing is changed; certificates that were made are in the ledger, where the next call finds them.
 *
 * Denials: ERR_ROTATION_STEP, ERR_ROTATION_UPTAKE, ERR_ROTATION_OFFLINE.
 *
 * @throws CountersignError ERR_ROTATION_NAME, ERR_LEDGER_DOCUMENT, ERR_SIGNER_*, ERR_LINT, ERR_LEDGER_*
 */
export async function activateRotation(
  name: string,
  order: ActivateOrder,
  context: RotationContext,
): Promise<StepResult> {
  const { by } = order;
  mustBeKnown(name, context.document());

  // 1. There is one to activate.
  const prepared = inPhase(context.document(), name, 'prepared');
  if (prepared === undefined) {
    if (inPhase(context.document(), name, 'replaced') !== undefined)
      return { ok: true, done: false };
    const message = `activate a new key of "${name}": none is prepared`;
    return denial('ERR_ROTATION_STEP', message);
  }

  // 2. A root: whoever has to trust it, does.
  const lacking = name === rootName ? await refusalByUptake(order, context) : undefined;
  if (lacking !== undefined) return lacking;

  // 3. and 4.
  const active = activeOf(context.document(), name);
  await makeActive(prepared, active, 'replaced', { by, asked: 'activate' }, context);
  return { ok: true, done: true };
}

/** The prepared generation signs, the active one does not: the same in both directions. */
export async function makeActive(
  next: Generation,
  active: Generation,
  /** What becomes of the one that was active. */
  then: 'replaced' | 'prepared',
  said: { readonly by: string; readonly asked: string },
  context: RotationContext,
): Promise<void> {
  const { name } = next;
  // 3. What is directly below, by the new key; proved before anything relies on it.
  let document = context.document();
  for (const intermediate of context.config.intermediates) {
    if (intermediate.issuer !== name) continue;
    for (const below of trustedOf(document, intermediate.name)) {
      const [first] = below.certificates;
      if (first === undefined) continue;
      const { spki } = first.certificate;
      const certificate = context.keys.has(next)
        ? await certifyBelow(intermediate, spki, next, document, context)
        : carriedBefore(below, next);
      document = withGeneration(document, withCertificate(below, next, certificate));
      if (name === rootName) proveBelow(certificate, next, active);
    }
  }

  // 4. In one step.
  const now = context.clock.now();
  const ended = active.spans.map((span) => (span.to === undefined ? { ...span, to: now } : span));
  document = withGeneration(document, { ...active, phase: then, since: now, spans: ended });
  document = withGeneration(document, {
    ...next,
    phase: 'active',
    since: now,
    spans: [...next.spans, { from: now, to: undefined }],
  });
  const detail = `${ledgerNameOf(next)} in the place of ${ledgerNameOf(active)}`;
  await context.commit(document, { ...said, subject: name, detail });
}

/** An offline key has signed what is below it when it was prepared. */
function carriedBefore(below: Generation, by: Generation): Certificate {
  const known = certifiedBy(below, by);
  if (known !== undefined) return known;
  const [who, signer] = [ledgerNameOf(below), ledgerNameOf(by)];
  const message = `activate "${signer}": it is offline, and has not signed "${who}"`;
  throw new CountersignError('ERR_ROTATION_OFFLINE', message, { fields: { who, signer } });
}

/** How many of those who hold the bundle hold that of now. */
export function uptakeOf(context: RotationContext): Promise<Uptake> {
  const document = context.document();
  const { ledger, config, settleMs } = context;
  const newest = trustedOf(document, rootName).at(-1);
  const since = (newest?.since ?? 0) + settleMs;
  return measureUptake(ledger, digestOf(document, config.trustDomain), since, config.trustDomain);
}

export function digestOf(document: RotationDocument, trustDomain: string): string {
  return bundleDigest({ trustDomain, authorities: anchorsOf(document) });
}

async function refusalByUptake(
  { threshold = 1, force = false, by }: ActivateOrder,
  context: RotationContext,
): Promise<Denial | undefined> {
  const { share, holding, holders, lacking } = await uptakeOf(context);
  if (share >= threshold) return undefined;
  const names = [...new Set(lacking.map((each) => `"${each.name}"`))];
  const more = names.length > mostNamed ? ` and ${names.length - mostNamed} more` : '';
  const who = `${names.slice(0, mostNamed).join(', ')}${more}`;
  const sides = `${holding} of ${holders} hold the new root, ${Math.ceil(threshold * holders)} have to: ${who} lack it`;
  if (force) {
    context.log.error({ by, holding, holders, lacking: names.slice(0, 100) }, `forced: ${sides}`);
    return undefined;
  }
  return denial('ERR_ROTATION_UPTAKE', `activate the new root: ${sides}`, {
    ...{ holding, holders, threshold, lacking: names.slice(0, 100) },
  });
}

export const mostNamed = 10;

/** With either bundle. */
function proveBelow(certificate: Certificate, next: Generation, active: Generation): void {
  const links = [...certifiedBySome(next, active), ...certifiedBySome(active, next)];
  const at = Math.max(certificate.notBefore, ...links.map((each) => each.notBefore));
  for (const root of [next, active]) {
    const anchors = [selfSigned(root)];
    const path = validatePath({ leaf: certificate, intermediates: links, anchors, at });
    // Back to an older root there is no certificate of it by the newer one: whoever trusts the newer trusts both.
    if (path.ok || (root === active && certifiedBy(next, active) === undefined)) continue;
    const message = `new certificate of an intermediate does not lead to "${ledgerNameOf(root)}": ${path.detail}`;
    throw new CountersignError('ERR_LINT', message);
  }
}

function certifiedBySome(generation: Generation, by: Generation): Certificate[] {
  const found = certifiedBy(generation, by);
  return found === undefined ? [] : [found];
}
