import { CountersignError } from '@countersign/base';
import type { Certificate, Signer } from '@countersign/x509';
import type { CaConfig } from '../ca-config.ts';
import { checkPair } from '../check-pair.ts';
import type { SigningPair } from '../issuer.ts';
import type { PublishingIssuer } from '../publish/publishing-issuer.ts';
import type { KeyStores } from '../signers/key-stores.ts';
import { issuerNameOf } from './certify-generation.ts';
import {
  activeOf,
  anchorsOf,
  certificateInForce,
  certifiedBy,
  inPhase,
  linksToReplaced,
  rootName,
  selfSigned,
  signingOf,
} from './hierarchy-view.ts';
import {
  configNameOf,
  type Generation,
  ledgerNameOf,
  type RotationDocument,
} from './rotation-document.ts';

/** What an authority works with at a moment, as the rotation of its keys has left it. */
export interface HierarchyInForce {
  /** The one that signs now. */
  readonly root: Certificate;
  /** The trust bundle. */
  readonly anchors: readonly Certificate[];
  readonly sequence: number;
  /** Active intermediates, in file order. */
  readonly pairs: readonly SigningPair[];
  /** Every generation that may have signed something which has not ended. */
  readonly publishers: readonly PublishingIssuer[];
  /** Of every key of the hierarchy that there ever was. */
  readonly authorityKeys: readonly Uint8Array[];
}

/** Opens keys of the hierarchy: each intermediate's once, the root's each time, for it is seldom needed. */
export class GenerationKeys {
  readonly #stores: KeyStores;
  /** Of keys that are in no document: those that init made. */
  readonly #made: ReadonlyMap<string, () => Promise<Signer>>;
  readonly #open = new Map<string, Promise<Signer>>();

  constructor(stores: KeyStores, made: ReadonlyMap<string, () => Promise<Signer>>) {
    this.#stores = stores;
    this.#made = made;
  }

  /** Whether the key can be had here. */
  has(generation: Generation): boolean {
    return generation.key !== undefined || this.#made.has(ledgerNameOf(generation));
  }

  /** @throws CountersignError ERR_ROTATION_OFFLINE, ERR_STATE_BROKEN, ERR_SIGNER_*, ERR_KEY_SEALED */
  signerOf(generation: Generation, config: CaConfig): Promise<Signer> {
    const name = ledgerNameOf(generation);
    if (generation.name === rootName) return this.#openKey(generation, config);
    const known = this.#open.get(name);
    if (known !== undefined) return known;
    const opening = this.#openKey(generation, config);
    this.#open.set(name, opening);
    // A failure is not remembered.
    opening.catch(() => this.#open.delete(name));
    return opening;
  }

  async #openKey(generation: Generation, config: CaConfig): Promise<Signer> {
    const { name, key } = generation;
    const made = this.#made.get(ledgerNameOf(generation));
    if (key === undefined) {
      if (made !== undefined) return made();
      const message = `open the key of "${ledgerNameOf(generation)}": it is not here`;
      throw new CountersignError('ERR_ROTATION_OFFLINE', message, { fields: { name } });
    }
    const storage =
      name === rootName
        ? config.root.storage
        : config.intermediates.find((each) => each.name === name)?.storage;
    if (storage === undefined) throw new TypeError(`an intermediate "${name}"`);
    const signer = await this.#stores.open(storage, key);
    const [first] = generation.certificates;
    if (first !== undefined) checkPair(key, key.publicKey, first.certificate);
    return signer;
  }
}

/** @throws CountersignError as of {@link GenerationKeys.signerOf} for the intermediates */
export async function hierarchyInForce(
  document: RotationDocument,
  config: CaConfig,
  keys: GenerationKeys,
): Promise<HierarchyInForce> {
  const pairs: SigningPair[] = [];
  for (const { name, issuer } of config.intermediates) {
    if (config.root.signsServices === true) {
      pairs.push(await rootFor(name, document, config, keys));
      continue;
    }
    const active = activeOf(document, name);
    const certificate = certificateInForce(document, active, issuer);
    const signer = await keys.signerOf(active, config);
    const behind = behindChains(document, name, config);
    pairs.push({ name, certificate, signer, ledgerName: ledgerNameOf(active), behind });
  }
  return {
    root: selfSigned(activeOf(document, rootName)),
    anchors: anchorsOf(document),
    sequence: document.sequence,
    pairs,
    publishers: signingOf(document).map((generation) => ({
      name: ledgerNameOf(generation),
      certificate: certificateInForce(document, generation, issuerNameOf(generation.name, config)),
      signer: keys.has(generation) ? () => keys.signerOf(generation, config) : undefined,
    })),
    authorityKeys: document.generations.flatMap(({ certificates }) =>
      certificates.slice(0, 1).map(({ certificate }) => certificate.spki.raw),
    ),
  };
}

/** The root in the place of an intermediate, for chains of one certificate. */
async function rootFor(
  name: string,
  document: RotationDocument,
  config: CaConfig,
  keys: GenerationKeys,
): Promise<SigningPair> {
  const root = activeOf(document, rootName);
  const signer = await keys.signerOf(root, config);
  return { name, certificate: selfSigned(root), signer, ledgerName: ledgerNameOf(root) };
}

/**
 * What goes behind an intermediate's chain while the root before is trusted: the new root by that one, and for verifiers
 * that count a self-issued certificate in the path length, the topmost intermediate by that one. And while the new root
 * is prepared, the active one by that, where it has signed it: for those who were given the new one alone.
 */
function behindChains(
  document: RotationDocument,
  name: string,
  config: CaConfig,
): readonly Certificate[] {
  const prepared = inPhase(document, rootName, 'prepared');
  const back = prepared && certifiedBy(activeOf(document, rootName), prepared);
  if (back !== undefined) return [back];
  const replaced = inPhase(document, rootName, 'replaced');
  if (replaced === undefined) return [];
  let top = name;
  for (let above = issuerNameOf(top, config); above !== rootName; ) {
    top = above;
    above = issuerNameOf(top, config);
  }
  const before = certifiedBy(activeOf(document, top), replaced);
  return [...linksToReplaced(document), ...(before === undefined ? [] : [before])];
}

/** Names of the generations' authorities that the configuration does not have: such a document is of another. */
export function strangersTo(config: CaConfig, { generations }: RotationDocument): string[] {
  const known = new Set([rootName, ...config.intermediates.map(({ name }) => name)]);
  return generations.map(ledgerNameOf).filter((name) => !known.has(configNameOf(name)));
}
