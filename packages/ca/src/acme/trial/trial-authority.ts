import type { KeyObject } from 'node:crypto';
import { type Clock, type Log, noMeter } from '@countersign/base';
import { type Certificate, extension } from '@countersign/x509';
import { Authority } from '../../authority.ts';
import type { CaConfig } from '../../ca-config.ts';
import {
  type AuthorityKey,
  type AuthorityPair,
  type HierarchyContext,
  makeKeys,
  makeLevels,
  makeRoot,
} from '../../hierarchy.ts';
import { type Issuer, makeIssuer, makeIssuers } from '../../issuer.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { memoryLedger } from '../../ledger/memory-ledger.ts';
import { openKeyLists } from '../../requests/key-lists.ts';
import { trialKeysOf } from '../../requests/trial-keys.ts';
import { memoryKeyStores } from '../../signers/key-stores.ts';
import type { AcmeConfig } from '../acme-config.ts';
import type { AcmeEdge } from '../acme-edge.ts';
import { authorityForAcme } from '../authority-for-acme.ts';

export interface TrialAuthorityOptions {
  /**
   * Each a root with the intermediates below it; the one that signs services has the same name and the same key in all of
   * them. The first is the usual one, the others are other chains.
   */
  readonly hierarchies: readonly [CaConfig, ...CaConfig[]];
  readonly acme: AcmeConfig;
  /** What certificates name as OCSP responder; undefined: none. Nobody answers there unless somebody else does. */
  readonly ocspUrl: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** An authority for trying out ACME clients, its secrets within reach: it must never certify anything that is relied on. */
export interface TrialAuthority {
  readonly edge: AcmeEdge;
  readonly ledger: Ledger;
  readonly hierarchies: readonly TrialHierarchy[];
  close(): Promise<void>;
}

export interface TrialHierarchy {
  readonly root: Certificate;
  /** The one that signs services, by the key above it. */
  readonly intermediate: Certificate;
  readonly rootKey: KeyObject;
  readonly intermediateKey: KeyObject;
}

/** Everything in memory, gone with the process; by the flows that issue everything else. */
export async function openTrialAuthority(options: TrialAuthorityOptions): Promise<TrialAuthority> {
  const { hierarchies, acme, ocspUrl, clock, log } = options;
  const [config] = hierarchies;
  const ledger = memoryLedger({ clock, log });

  // 1. The roots, and what leads from each to the one key that signs services.
  const made: Made[] = [];
  for (const each of hierarchies) {
    made.push(await makeHierarchy({ config: each, ledger, clock }, made[0]?.signing));
  }
  const [usual = made[0], ...others] = made;
  if (usual === undefined) throw new TypeError('an authority without a hierarchy');

  // 2. The authority of the first; what the others made of the same key goes behind it for whoever asks.
  const root = usual.root.certificate;
  const issuers = makeIssuers(usual.intermediates, root, config).map((each) =>
    ocspUrl === undefined ? each : naming(ocspUrl, each, root, config),
  );
  const authority = new Authority({
    ...{ config, root, issuers, ledger, orphans: 0 },
    keyLists: await openKeyLists(config.requests, { clock, log }),
    trialKeys: trialKeysOf(ledger),
    ...{ clock, log, meter: noMeter },
  });
  const alternates = others.flatMap((each) =>
    [...each.intermediates].reverse().map(({ certificate }) => certificate),
  );
  const asked = authorityForAcme(authority, alternates);
  const opened = await import('../acme-edge.ts');
  const edge = await opened.AcmeEdge.open({
    config: acme,
    authority: asked,
    state: ledger,
    clock,
    log,
  });

  return {
    edge,
    ledger,
    hierarchies: made.map(({ root, signing, keys, intermediates }) => ({
      root: root.certificate,
      intermediate: lowest(intermediates).certificate,
      rootKey: keys.get('root') ?? missing('root'),
      intermediateKey: signing.privateKey,
    })),
    async close() {
      await edge.close();
      await authority.close();
    },
  };
}

/** The key that signs services, and itself. */
interface Signing {
  readonly key: AuthorityKey;
  readonly privateKey: KeyObject;
}

interface Made {
  readonly root: AuthorityPair;
  readonly intermediates: readonly AuthorityPair[];
  readonly signing: Signing;
  readonly keys: ReadonlyMap<string, KeyObject>;
}

async function makeHierarchy(
  context: HierarchyContext,
  shared: Signing | undefined,
): Promise<Made> {
  const keys = new Map<string, KeyObject>();
  const stores = memoryKeyStores((name, pair) => keys.set(name, pair.privateKey));
  const { config } = context;
  const all = [{ ...config.root, name: 'root' }, ...config.intermediates];
  const { name } = lowest(config.intermediates);
  const own = all.filter((each) => shared === undefined || each.name !== name);
  const pairs = new Map(await makeKeys(own, () => stores));
  if (shared !== undefined) pairs.set(name, shared.key);
  const root = await makeRoot(pairs, context);
  const intermediates = await makeLevels(new Map([['root', root]]), pairs, context);
  const signing = shared ?? {
    key: pairs.get(name) ?? missing(name),
    privateKey: keys.get(name) ?? missing(name),
  };
  return { root, intermediates, signing, keys };
}

/** The same issuer, whose certificates name a responder. */
function naming(ocspUrl: string, issuer: Issuer, root: Certificate, config: CaConfig): Issuer {
  const access = extension.authorityInfoAccess({ ocsp: [ocspUrl], caIssuers: [] });
  const named = { extensions: [access], shard: undefined };
  return makeIssuer(issuer, issuer.chain, root, config, named);
}

/** In the order of the file, the one that signs services is the first. */
function lowest<T>(intermediates: readonly T[]): T {
  return intermediates[0] ?? missing('services');
}

function missing(name: string): never {
  throw new TypeError(`an authority "${name}"`);
}
