import { CountersignError, type Denial, denial } from '@countersign/base';
import { type KeyKind, publicKeyOf, validatePath } from '@countersign/x509';
import type { IntermediateConfig } from '../ca-config.ts';
import type { StorageConfig } from '../signers/storage-config.ts';
import { certifyBelow, certifyLink, certifyRoot } from './certify-generation.ts';
import {
  activeOf,
  generationsOf,
  inPhase,
  rootName,
  selfSigned,
  trustedOf,
  withCertificate,
  withGeneration,
} from './hierarchy-view.ts';
import { mustBeKnown, type RotationContext } from './rotation-context.ts';
import { type Generation, ledgerNameOf } from './rotation-document.ts';

export type StepResult = { readonly ok: true; readonly done: boolean } | Denial;

/**
 * A new key for the root or an intermediate, with its certificates: for a root its own, and one by the root before it. It
 * signs nothing for services yet; a root is in the trust bundle from here on.
 *
 * Crash: after 2, a generation that is `making`, whose key the next call goes on with; after 3, the same, with certificates
 * in the ledger that the next call finds; after 4, prepared.
 *
 * Denials: ERR_ROTATION_STEP, ERR_ROTATION_OFFLINE.
 *
 * @throws CountersignError ERR_ROTATION_NAME, ERR_LEDGER_DOCUMENT, ERR_SIGNER_*, ERR_LINT, ERR_LEDGER_*
 */
export async function prepareRotation(
  name: string,
  by: string,
  context: RotationContext,
): Promise<StepResult> {
  const { log } = context;
  mustBeKnown(name, context.document());

  // 1. Nothing else of it is under way, and who has to sign is here.
  if (inPhase(context.document(), name, 'prepared') !== undefined) return { ok: true, done: false };
  const refused = refusalToPrepare(name, context);
  if (refused !== undefined) return refused;

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
  const signs = name === rootName ? rootName : intermediateOf(name, context).issuer;
  const away = trustedOf(document, signs).find((each) => !context.keys.has(each));
  if (away === undefined) return undefined;
  const who = ledgerNameOf(away);
  const message = `prepare a new key of "${name}": the key of "${who}", which has to sign it, is offline`;
  return denial('ERR_ROTATION_OFFLINE', message, { name, signer: who });
}

/** The key that an earlier try has made, or a new one. */
async function keyInMaking(
  name: string,
  about: { readonly kind: KeyKind; readonly storage: StorageConfig; readonly by: string },
  context: RotationContext,
): Promise<Generation> {
  const document = context.document();
  const found = inPhase(document, name, 'making');
  if (found !== undefined) return found;
  const number = Math.max(...generationsOf(document, name).map((each) => each.number)) + 1;
  const ledgerName = ledgerNameOf({ name, number });
  const key = await context.stores.generate(about.storage, about.kind, ledgerName);
  const since = context.clock.now();
  const making: Generation = {
    ...{ name, number, phase: 'making', key, certificates: [], since, spans: [] },
  };
  const said = { by: about.by, asked: 'make key', subject: name, detail: ledgerName };
  try {
    await context.commit(withGeneration(document, making), said);
  } catch (thrown) {
    const store = await context.stores.of(about.storage);
    await store.discard(key).catch(() => {});
    throw thrown;
  }
  return making;
}

/** Whoever trusts the root before alone gets to the new one. */
function proveLink(root: Generation, before: Generation): void {
  const link = root.certificates.find((each) => each.by === ledgerNameOf(before))?.certificate;
  if (link === undefined) throw new TypeError('a link to the root before');
  const at = Math.max(link.notBefore, selfSigned(root).notBefore);
  const anchors = [selfSigned(before)];
  const path = validatePath({ leaf: link, intermediates: [], anchors, at });
  const isSame = publicKeyOf(link.spki).equals(publicKeyOf(selfSigned(root).spki));
  if (path.ok && isSame) return;
  const reason = path.ok ? 'it has another key' : path.detail;
  throw new CountersignError('ERR_LINT', `new root by the one before does not hold: ${reason}`);
}

function descriptionOf(name: string, context: RotationContext) {
  return name === rootName ? context.config.root : intermediateOf(name, context);
}

export function intermediateOf(name: string, { config }: RotationContext): IntermediateConfig {
  const found = config.intermediates.find((each) => each.name === name);
  if (found !== undefined) return found;
  throw new CountersignError('ERR_ROTATION_NAME', `ca.yaml has no intermediate "${name}"`);
}
