import { type Clock, CountersignError, type Log } from '@countersign/base';
import type { Signer } from '@countersign/x509';
import type { CaConfig } from '../ca-config.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { KeyStores } from '../signers/key-stores.ts';
import type { StateCertificates } from '../state-config.ts';
import { issuerNameOf } from './certify-generation.ts';
import {
  GenerationKeys,
  type HierarchyInForce,
  hierarchyInForce,
  strangersTo,
} from './hierarchy-in-force.ts';
import { rootName } from './hierarchy-view.ts';
import { KeyRotation } from './key-rotation.ts';
import type { Generation, RotationDocument } from './rotation-document.ts';
import { RotationKeeper } from './rotation-keeper.ts';

export interface OpenRotationOptions {
  readonly config: CaConfig;
  /** What init made. */
  readonly made: StateCertificates;
  /** Opens the keys that init made; without one that is offline. */
  readonly signers: ReadonlyMap<string, () => Promise<Signer>>;
  readonly rootFingerprint: string;
  /** Where the copy of the hierarchy is kept. */
  readonly file: string | undefined;
  readonly stores: KeyStores;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The hierarchy as it stands after whatever was replaced since init, and the way to replace more of it.
 *
 * @throws CountersignError ERR_STATE_BROKEN, ERR_STATE_CONFIG, ERR_ROTATION_PROOF, ERR_SIGNER_*, those of the ledger
 */
export async function openRotation(
  options: OpenRotationOptions,
): Promise<{ readonly keys: KeyRotation; readonly hierarchy: HierarchyInForce }> {
  const { keys, generationKeys, document } = await openRotationKeys(options);
  return { keys, hierarchy: await hierarchyInForce(document, options.config, generationKeys) };
}

/** The same, with no key opened. */
export async function openRotationKeys(options: OpenRotationOptions): Promise<{
  readonly keys: KeyRotation;
  readonly generationKeys: GenerationKeys;
  readonly document: RotationDocument;
}> {
  const { config, made, signers, rootFingerprint, file, stores, ledger, clock, log } = options;
  const document = madeDocument(config, made);
  const keeper = await RotationKeeper.open({
    ...{ ledger, file, rootFingerprint, clock, log },
    made: document,
  });
  const [stranger] = strangersTo(config, keeper.document);
  if (stranger !== undefined) {
    const message = `the ledger's hierarchy has "${stranger}", "${config.file}" does not`;
    throw new CountersignError('ERR_STATE_CONFIG', message, { fields: { stranger } });
  }
  const generationKeys = new GenerationKeys(stores, signers);
  const keys = new KeyRotation({
    ...{ keeper, keys: generationKeys, stores, config, ledger, clock, log },
  });
  return { keys, generationKeys, document: keeper.document };
}

/** One generation of everything, active from the beginning. */
export function madeDocument(config: CaConfig, made: StateCertificates): RotationDocument {
  const first = { number: 1, phase: 'active', key: undefined, since: 0 } as const;
  const spans = [{ from: 0, to: undefined }];
  const root: Generation = {
    ...{ ...first, name: rootName, spans },
    certificates: [{ by: rootName, certificate: made.root }],
  };
  const intermediates = config.intermediates.flatMap(({ name }): Generation[] => {
    const certificate = made.intermediates.get(name);
    if (certificate === undefined) return [];
    const by = issuerNameOf(name, config);
    return [{ ...first, name, spans, certificates: [{ by, certificate }] }];
  });
  return { sequence: 1, generations: [root, ...intermediates], orders: [] };
}
