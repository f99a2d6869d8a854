import { concatBytes, type Denial, denial } from '@countersign/base';
import { ChangeSignal, type Changes, type TrustBundle, type X509Svid } from '@countersign/spiffe';
import type { Entry } from '../entries/entry.ts';
import type { BundleBook } from './bundle-book.ts';
import type { SvidKeeper } from './svid-keeper.ts';

/** An entry's identity as it can be handed out now. */
export interface HeldIdentity {
  readonly entry: Entry;
  readonly svid: X509Svid;
}

/** What can be handed out to whoever is entitled to some entries, and a word that changes whenever that does. */
export interface Holdings {
  readonly ok: true;
  readonly identities: readonly HeldIdentity[];
  readonly own: TrustBundle;
  readonly foreign: readonly TrustBundle[];
  readonly key: string;
}

/** SVIDs and bundles together, for those who hand them out: what many ask alike is written once. */
export class HeldIdentities implements Changes {
  readonly #keeper: SvidKeeper;
  readonly #bundles: BundleBook;
  readonly #changes: ChangeSignal;
  readonly #written = new Map<string, Uint8Array>();
  readonly #versions = new WeakMap<TrustBundle, number>();
  #version = 0;

  constructor(keeper: SvidKeeper, bundles: BundleBook, onListenerError: (thrown: unknown) => void) {
    this.#keeper = keeper;
    this.#bundles = bundles;
    this.#changes = new ChangeSignal(onListenerError);
    const changed = () => {
      this.#written.clear();
      this.#changes.notify();
    };
    keeper.onChange(changed);
    bundles.onChange(changed);
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /**
   * What the entries give now. Denials: ERR_AGENT_NOT_YET while an attempt for one of them is still under way for the
   * first time, or where there is no SVID for any of them.
   */
  of(entries: readonly Entry[]): Holdings | Denial {
    const pending = entries.find((entry) => !this.#keeper.isSettled(entry.id));
    if (pending !== undefined) {
      const detail = `entry for "${pending.spiffeId}" is being issued`;
      return denial('ERR_AGENT_NOT_YET', detail, { isPending: true });
    }
    const identities = entries.flatMap((entry) => {
      const svid = this.#keeper.svidOf(entry.id);
      return svid === undefined ? [] : [{ entry, svid }];
    });
    if (identities.length === 0) {
      const names = entries.map((entry) => `"${entry.spiffeId}"`).join(', ');
      return denial('ERR_AGENT_NOT_YET', `there is no valid SVID for ${names}`);
    }
    const bundles = this.bundlesFor(entries);
    const serials = identities.map(
      ({ entry, svid }) => `${entry.id}/${entry.hint}/${svid.serialHex}`,
    );
    return { ok: true, identities, ...bundles, key: `${serials.join(' ')} ${bundles.key}` };
  }

  /** The bundles that go with the entries; they need no SVID. */
  bundlesFor(entries: readonly Entry[]): Pick<Holdings, 'own' | 'foreign' | 'key'> {
    const names = new Set(entries.flatMap((entry) => entry.federatesWith));
    const [own, ...foreign] = this.#bundles.withForeign([...names]);
    if (own === undefined) throw new RangeError('the book of bundles has none of its own');
    return { own, foreign, key: [own, ...foreign].map((each) => this.#versionOf(each)).join(' ') };
  }

  /** The bytes of an answer, written the first time that anybody needs it and kept until something changes. */
  written(kind: string, key: string, write: () => Uint8Array): Uint8Array {
    const name = `${kind} ${key}`;
    const held = this.#written.get(name);
    if (held !== undefined) return held;
    const bytes = write();
    this.#written.set(name, bytes);
    return bytes;
  }

  #versionOf(bundle: TrustBundle): number {
    const known = this.#versions.get(bundle);
    if (known !== undefined) return known;
    this.#version += 1;
    this.#versions.set(bundle, this.#version);
    return this.#version;
  }
}

/** Whether an answer is worth waiting for: the first attempt is under way. */
export function isPending({ fields }: Denial): boolean {
  return fields.isPending === true;
}

/** DER certificates, one after the other, as the Workload API sends bundles and chains. */
export function joinedDer(certificates: readonly { readonly raw: Uint8Array }[]): Uint8Array {
  return concatBytes(...certificates.map((each) => each.raw));
}
