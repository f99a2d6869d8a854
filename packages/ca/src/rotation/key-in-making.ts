import { CountersignError } from '@countersign/base';
import { type KeyKind, publicKeyOf, validatePath } from '@countersign/x509';
import type { IntermediateConfig } from '../ca-config.ts';
import type { StorageConfig } from '../signers/storage-config.ts';
import { generationsOf, inPhase, rootName, selfSigned, withGeneration } from './hierarchy-view.ts';
import type { RotationContext } from './rotation-context.ts';
import { type Generation, ledgerNameOf } from './rotation-document.ts';

/** The key that an earlier try has made, or a new one. */
export async function keyInMaking(
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
export function proveLink(root: Generation, before: Generation): void {
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

export function descriptionOf(name: string, context: RotationContext) {
  return name === rootName ? context.config.root : intermediateOf(name, context);
}

export function intermediateOf(name: string, { config }: RotationContext): IntermediateConfig {
  const found = config.intermediates.find((each) => each.name === name);
  if (found !== undefined) return found;
  throw new CountersignError('ERR_ROTATION_NAME', `ca.yaml has no intermediate "${name}"`);
}
