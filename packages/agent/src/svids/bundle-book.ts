import type { Log } from '@countersign/base';
import {
  type BundleSource,
  ChangeSignal,
  type Changes,
  sameAuthorities,
  type TrustBundle,
} from '@countersign/spiffe';

/** Trust bundles by trust domain: the agent's own, and those of trust domains that it federates with. */
export class BundleBook implements BundleSource, Changes {
  readonly trustDomain: string;
  readonly #bundles = new Map<string, TrustBundle>();
  readonly #changes: ChangeSignal;

  constructor(own: TrustBundle, log: Log) {
    this.trustDomain = own.trustDomain;
    this.#bundles.set(own.trustDomain, own);
    this.#changes = new ChangeSignal((thrown) => {
      log.error({ err: thrown }, 'a listener to the bundles failed');
    });
  }

  bundle(trustDomain: string): TrustBundle | undefined {
    return this.#bundles.get(trustDomain);
  }

  /** The own bundle, and the foreign ones of these names as far as they are known. */
  withForeign(names: readonly string[]): readonly TrustBundle[] {
    return [this.trustDomain, ...names].flatMap((name) => this.#bundles.get(name) ?? []);
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /** Takes a bundle in; one that says nothing new wakes nobody, and an older one of its publisher is left alone. */
  put(bundle: TrustBundle): void {
    const held = this.#bundles.get(bundle.trustDomain);
    if (held !== undefined && (sameContent(held, bundle) || isOlder(bundle, held))) return;
    this.#bundles.set(bundle.trustDomain, bundle);
    this.#changes.notify();
  }
}

// Trust Domain and Bundle §4.1.1: the sequence grows with every change, so that one can tell which is the newer.
function isOlder(bundle: TrustBundle, held: TrustBundle): boolean {
  return (
    bundle.sequence !== undefined && held.sequence !== undefined && bundle.sequence < held.sequence
  );
}

function sameContent(a: TrustBundle, b: TrustBundle): boolean {
  return (
    a.refreshHintSeconds === b.refreshHintSeconds &&
    sameAuthorities(a, b) &&
    JSON.stringify(a.jwtKeys ?? []) === JSON.stringify(b.jwtKeys ?? [])
  );
}
