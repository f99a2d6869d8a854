import type { PublicJwk, TrustBundle } from '@countersign/spiffe';
import type { JwtKeys } from './jwt-keys.ts';

/** The bundle of the hierarchy with the keys for tokens; the same value for as long as neither changes. */
export class BundleWithKeys {
  readonly #keys: JwtKeys | undefined;
  #made:
    | {
        readonly of: TrustBundle;
        readonly keys: readonly PublicJwk[];
        readonly bundle: TrustBundle;
      }
    | undefined;

  constructor(keys: JwtKeys | undefined) {
    this.#keys = keys;
  }

  of(hierarchy: TrustBundle): TrustBundle {
    if (this.#keys === undefined) return hierarchy;
    const { publicKeys: jwtKeys, version } = this.#keys;
    if (this.#made?.of === hierarchy && this.#made.keys === jwtKeys) return this.#made.bundle;
    // Both grow with each of their changes, and so does the sum.
    const sequence = (hierarchy.sequence ?? 0) + version;
    const bundle = { ...hierarchy, sequence, jwtKeys };
    this.#made = { of: hierarchy, keys: jwtKeys, bundle };
    return bundle;
  }
}
