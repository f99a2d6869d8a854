import { type Denial, denial } from '@countersign/base';
import type { CarriedFile, PassedOver, TakenCertificate } from './carried-orders.ts';
import { certifyBelow, certifyLink, certifyRoot } from './certify-generation.ts';
import {
  activeOf,
  inPhase,
  rootName,
  trustedOf,
  withCertificate,
  withGeneration,
} from './hierarchy-view.ts';
import { descriptionOf, intermediateOf, keyInMaking, proveLink } from './key-in-making.ts';
import { prepareCarried } from './prepare-carried.ts';
import { mustBeKnown, type RotationContext } from './rotation-context.ts';
import { ledgerNameOf } from './rotation-document.ts';

export type StepResult =
  | {
      readonly ok: true;
      readonly done: boolean;
      /** What was carried back beside it, and is no news. */
      readonly passedOver?: readonly PassedOver[];
      /** Certificates of an offline key that were carried back. */
      readonly taken?: readonly TakenCertificate[];
    }
  | Denial;

export interface PrepareOrder {
  readonly by: string;
  /** What was carried here: the request of a root's new key, or certificates that an offline key has signed. */
  readonly carried?: readonly CarriedFile[] | undefined;
}

/**
 * A new key for the root or an intermediate, with its certificates: for a root its own, and one by the root before it. It
 * signs nothing for services yet; a root is in the trust bundle from here on.
 *
 * Crash: after 2, a generation that is `making`, whose key the next call goes on with; after 3, the same, with certificates
 * in the ledger that the next call finds; after 4, prepared.
 *
 * Where the key that signs is offline, it is {@link prepareCarried}.
 *
 * Denials: ERR_ROTATION_STEP, ERR_ROTATION_OFFLINE, ERR_CEREMONY_*.
 *
 * @throws CountersignError ERR_ROTATION_NAME, ERR_LEDGER_DOCUMENT, ERR_SIGNER_*, ERR_LINT, ERR_LEDGER_*
 */
export async function prepareRotation(
  name: string,
  { by, carried = [] }: PrepareOrder,
  context: RotationContext,
): Promise<StepResult> {
  const { log } = context;
  mustBeKnown(name, context.document());

  // 1. Nothing else of it is under way, and who has to sign is here.
  const signs = name === rootName ? rootName : intermediateOf(name, context).issuer;
  const isHere = context.keys.has(activeOf(context.document(), signs));
  const [file] = carried;
  if (isHere && file !== undefined) {
    const message = `take "${file.file}" for "${name}": the key of "${signs}" is here, nothing is carried`;
    return denial('ERR_CEREMONY_ONLINE', message);
  }
  if (inPhase(context.document(), name, 'prepared') !== undefined) return { ok: true, done: false };
  const refused = refusalToPrepare(name, context);
  if (refused !== undefined) return refused;
  if (!isHere) return prepareCarried(name, { by, carried }, context);

  // 2. The key, noted before anything is signed with it or for it.
  const { key: kind, storage } = descriptionOf(name, context);
  const making = await keyInMaking(name, { kind, storage, by }, context);

  // 3. Its certificates.
  const signer = await context.signerOf(making);
  const { spki } = signer;
  let prepared = making;
  if (name === rootName) {
    const before = activeOf(context.document(), rootName);
    prepared = withCertificate(prepared, prepared, await certifyRoot(making, spki, context));
    prepared = withCertificate(prepared, before, await certifyLink(prepared, before, context));
    proveLink(prepared, before);
  } else {
    const intermediate = intermediateOf(name, context);
    const document = context.document();
    for (const issuing of trustedOf(document, intermediate.issuer)) {
      const certificate = await certifyBelow(intermediate, spki, issuing, document, context);
      prepared = withCertificate(prepared, issuing, certificate);
    }
  }

  // 4. Prepared, in one step.
  const document = context.document();
  const changed = withGeneration(document, {
    ...prepared,
    phase: 'prepared',
    since: context.clock.now(),
  });
  const sequence = document.sequence + (name === rootName ? 1 : 0);
  const said = { by, asked: 'prepare', subject: name, detail: ledgerNameOf(making) };
  await context.commit({ ...changed, sequence }, said);
  log.info({ authority: name, generation: making.number }, 'new key of the hierarchy is prepared');
  return { ok: true, done: true };
}

function refusalToPrepare(name: string, context: RotationContext): Denial | undefined {
  const document = context.document();
  const replaced = inPhase(document, name, 'replaced');
  if (replaced !== undefined) {
    const sides = `"${ledgerNameOf(replaced)}" was replaced and is not retired yet`;
    return denial('ERR_ROTATION_STEP', `prepare a new key of "${name}": ${sides}`);
  }
  return undefined;
}
