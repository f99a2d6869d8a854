import { makeBundle, type TrustBundle } from '@countersign/spiffe';
import { fingerprintOf } from '@countersign/x509';
import type { AuthorityParts } from '../authority-parts.ts';
import type { CaConfig } from '../ca-config.ts';
import type { HierarchyInForce } from './hierarchy-in-force.ts';
import type { KeyRotation } from './key-rotation.ts';

/** Of an authority whose keys stay what they are. */
export function hierarchyOfParts({ root, rootSigner, issuers }: AuthorityParts): HierarchyInForce {
  return {
    root,
    anchors: [root],
    sequence: 1,
    pairs: issuers,
    publishers: [
      { name: 'root', certificate: root, signer: rootSigner },
      ...issuers.map(({ name, certificate, signer }) => ({
        name,
        certificate,
        signer: async () => signer,
      })),
    ],
    authorityKeys: [root, ...issuers.map((each) => each.certificate)].map((each) => each.spki.raw),
  };
}

/** While a key is being replaced, consumers are to look more often. */
export function bundleOf(
  { anchors, sequence }: HierarchyInForce,
  { trustDomain, api }: CaConfig,
  rotation: KeyRotation | undefined,
): TrustBundle {
  const seconds = api.bundleRefreshMs / 1000;
  const refreshHintSeconds = Math.max(
    1,
    Math.round(rotation?.isUnderWay === true ? seconds / 5 : seconds),
  );
  return { ...makeBundle(trustDomain, anchors), sequence, refreshHintSeconds };
}

export function fingerprintsOf({ authorities }: TrustBundle): ReadonlySet<string> {
  return new Set(authorities.map(fingerprintOf));
}
