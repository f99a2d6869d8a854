import type { Clock, Log, Meter } from '@countersign/base';
import type { RevocationStatus, VerifiedPeer } from '@countersign/spiffe';
import { type Certificate, entriesOf, formatName, SignatureCache } from '@countersign/x509';
import { authorityPrint } from '../checking/authority-print.ts';
import type { GuardedHttp } from '../checking/guarded-http.ts';
import type { Kept } from '../checking/kept-answer.ts';
import { KeptAnswers } from '../checking/kept-answers.ts';
import type { RevocationMethod } from '../checking/revocation-method.ts';
import { crlVerdict } from './crl-verdict.ts';
import { fetchList, type KeptList } from './fetch-list.ts';
import { type ListPlace, placesConfigured, placesNamed } from './list-place.ts';

export interface CrlMethodOptions {
  readonly http: GuardedHttp;
  /** Asked instead of the addresses that certificates name; empty: those. */
  readonly urls: readonly string[];
  /** `chain`: every certificate below the anchor must be covered; `leaf`: the peer's own alone. */
  readonly scope: 'chain' | 'leaf';
  readonly refreshMs: number;
  readonly maxStaleMs: number;
  /** Of one list. */
  readonly maxBytes: number;
  /** Lists that are kept at the same time. */
  readonly capacity: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly random: () => number;
}

type KeptPlace = Kept<ListPlace, KeptList>;

/** What was concluded about a peer, and from what. */
interface Verdict {
  readonly generation: number;
  readonly status: RevocationStatus;
  readonly kept: readonly KeptPlace[];
  /** Of the lists, as it was: which of them could be used, and what they cover. */
  readonly usable: readonly boolean[];
  readonly shapes: readonly (string | undefined)[];
}

/** The certificates of a peer that must be covered, and where they say that their lists are. */
interface Coverage {
  /** As far as the scope goes: leaf first, the last one is taken for granted. */
  readonly chain: readonly Certificate[];
  readonly places: readonly ListPlace[];
  /** The one that names no list; undefined where all do. */
  readonly unnamed: Certificate | undefined;
}

const good: RevocationStatus = { status: 'good' };
const mostReported = 100;
const mostSigners = 64;

/** Revocation by lists (RFC 5280 §5), fetched from where certificates or the operator say, deltas included. */
export class CrlMethod implements RevocationMethod {
  readonly name = 'crl';
  readonly #options: CrlMethodOptions;
  readonly #lists: KeptAnswers<ListPlace, KeptList>;
  readonly #signatures = new SignatureCache();
  readonly #coverages = new WeakMap<VerifiedPeer, Coverage>();
  readonly #verdicts = new WeakMap<VerifiedPeer, Verdict>();

  constructor(options: CrlMethodOptions) {
    const { clock, http, maxBytes } = options;
    const fetching = { http, maxBytes, now: () => clock.now() };
    this.#options = options;
    this.#lists = new KeptAnswers({
      ...options,
      method: this.name,
      look: async (place, known, signal) => {
        const list = await fetchList(fetching, place, known, signal);
        this.#signatures.add(list.signer.spki.raw, list.crl.raw);
        return list;
      },
      isNews: (before, now) => before?.crl.raw !== now.crl.raw,
    });
  }

  onChange(listener: () => void): () => void {
    return this.#lists.onChange(listener);
  }

  check(peer: VerifiedPeer): RevocationStatus {
    const known = this.#verdicts.get(peer);
    if (known !== undefined) {
      const still = this.#stillHolds(known, peer);
      if (still !== undefined) return still;
    }
    const verdict = this.#judge(peer);
    this.#verdicts.set(peer, verdict);
    return verdict.status;
  }

  prepare(peer: VerifiedPeer): Promise<void> | undefined {
    const coverage = this.#coverageOf(peer);
    return (
      this.#want(coverage.places)?.then(() => this.#wantDeltas(coverage)) ??
      this.#wantDeltas(coverage)
    );
  }

  /** Whether lists clear a chain that is no peer's, such as that of an OCSP delegate. Waits for them. */
  async clears(chain: readonly Certificate[]): Promise<RevocationStatus> {
    const coverage = this.#cover(chain.slice(0, 2), chain);
    await this.#want(coverage.places);
    await this.#wantDeltas(coverage);
    return this.#conclude(coverage, this.#options.clock.now()).status;
  }

  report(): Readonly<Record<string, unknown>> {
    const lists = [...this.#lists].slice(0, mostReported).map(({ subject, answer, ...kept }) => ({
      urls: subject.urls,
      ...(answer !== undefined && {
        issuer: formatName(answer.crl.issuer),
        entries: answer.crl.entries.size,
        thisUpdate: new Date(answer.thisUpdate).toISOString(),
        nextUpdate: new Date(answer.nextUpdate).toISOString(),
      }),
      state: kept.isFresh ? 'fresh' : kept.isUsable ? 'stale' : 'none',
      ...(kept.failure !== undefined && { failure: kept.failure }),
    }));
    return { scope: this.#options.scope, lists };
  }

  async stop(): Promise<void> {
    await this.#lists.stop();
  }

  /** The known answer where nothing that matters has changed since. */
  #stillHolds(verdict: Verdict, peer: VerifiedPeer): RevocationStatus | undefined {
    const { kept, usable, shapes, status } = verdict;
    const isSameUse = kept.every(
      (each, i) => this.#lists.isUsable(this.#lists.keep(each)) === usable[i],
    );
    if (!isSameUse) return undefined;
    const { generation } = this.#lists;
    if (verdict.generation === generation) return status;
    if (status.status !== 'good') return undefined;
    // Newer lists of the same shape cover the same: only their entries can make a difference.
    const { chain } = this.#coverageOf(peer);
    const isSame = kept.every(({ answer }, i) => {
      if (answer?.shape !== shapes[i]) return false;
      if (answer === undefined) return true;
      return chain.every(({ serialHex }) => entriesOf(answer.crl, serialHex).length === 0);
    });
    if (!isSame) return undefined;
    this.#verdicts.set(peer, { ...verdict, generation });
    return status;
  }

  #judge(peer: VerifiedPeer): Verdict {
    const now = this.#options.clock.now();
    // Whether a certificate has ended is not asked here: one that has is judged as of its end.
    return this.#conclude(this.#coverageOf(peer), Math.min(now, peer.notAfter));
  }

  #conclude(coverage: Coverage, at: number): Verdict {
    const { generation } = this.#lists;
    const kept = this.#keptFor(coverage);
    const usable = kept.map((each) => this.#lists.isUsable(each));
    const shapes = kept.map(({ answer }) => answer?.shape);
    const status = this.#statusOf(coverage, kept, usable, at);
    return { generation, status, kept, usable, shapes };
  }

  #statusOf(
    coverage: Coverage,
    kept: readonly KeptPlace[],
    usable: readonly boolean[],
    at: number,
  ): RevocationStatus {
    const { chain } = coverage;
    if (chain.length < 2) return good;
    const question = { chain, at, signatures: this.#signatures };
    const graceMs = this.#graceMs(at);
    const lists = listsOf(kept.filter((_, i) => usable[i]));
    const status = crlVerdict({ ...question, lists, graceMs });
    if (status.status !== 'unknown') return status;
    // A list that is too old still tells who was revoked, but for a hold, which may be over since (RFC 5280 §5.3.1).
    const ever = Number.POSITIVE_INFINITY;
    const old = crlVerdict({ ...question, lists: listsOf(kept), graceMs: ever });
    if (old.status === 'revoked' && old.reason !== 'certificateHold') return old;
    return { status: 'unknown', detail: whyUnknown(coverage, kept, usable) ?? status.detail };
  }

  /** A list that may be used counts, also about a certificate that has ended before it was made. */
  #graceMs(at: number): number {
    const { clock, maxStaleMs } = this.#options;
    return at < clock.now() ? Number.POSITIVE_INFINITY : maxStaleMs;
  }

  #coverageOf(peer: VerifiedPeer): Coverage {
    const known = this.#coverages.get(peer);
    if (known !== undefined) return known;
    const { chain } = peer;
    const scope = this.#options.scope === 'leaf' ? chain.slice(0, 2) : chain;
    const coverage = this.#cover(scope, chain);
    this.#coverages.set(peer, coverage);
    return coverage;
  }

  #cover(scope: readonly Certificate[], whole: readonly Certificate[]): Coverage {
    const { urls } = this.#options;
    const asked = scope.slice(0, -1);
    if (asked.length === 0) return { chain: scope, places: [], unnamed: undefined };
    if (urls.length > 0) {
      const places = placesConfigured(urls, whole.slice(1));
      return { chain: scope, places, unnamed: undefined };
    }
    const named = asked.map((certificate, i) => ({
      certificate,
      places: placesNamed(certificate.crlDistributionPoints, whole.slice(i + 1)),
    }));
    return {
      chain: scope,
      places: named.flatMap(({ places }) => places),
      unnamed: named.find(({ places }) => places.length === 0)?.certificate,
    };
  }

  /** The lists, and the deltas that they or the certificates announce. */
  #keptFor(coverage: Coverage): KeptPlace[] {
    const complete = coverage.places.map((place) => this.#keptAt(place));
    return [...complete, ...this.#deltasOf(coverage, complete)];
  }

  #deltasOf({ chain, places }: Coverage, complete: readonly KeptPlace[]): KeptPlace[] {
    if (this.#options.urls.length > 0) return [];
    const byCertificate = chain
      .slice(0, -1)
      .flatMap(({ freshestCrl }, i) => placesNamed(freshestCrl, chain.slice(i + 1)));
    const byList = complete.flatMap(({ answer }, i) =>
      placesNamed(answer?.crl.freshestCrl, places[i]?.signers ?? []),
    );
    const deltas = new Map([...byCertificate, ...byList].map((place) => [place.key, place]));
    return [...deltas.values()].map((place) => this.#keptAt(place));
  }

  #keptAt(place: ListPlace): KeptPlace {
    const kept = this.#lists.of(place.key, place);
    // The operator's list may be asked about by chains of several CAs; the first did not know of the others.
    if (!place.isConfigured || kept.subject === place) return kept;
    const known = new Set(kept.subject.signers.map(authorityPrint));
    const strangers = place.signers.filter((signer) => !known.has(authorityPrint(signer)));
    if (strangers.length === 0) return kept;
    const signers = [...kept.subject.signers, ...strangers].slice(-mostSigners);
    kept.subject = { ...place, signers };
    if (!kept.isUsable) kept.dueAt = 0;
    return kept;
  }

  #want(places: readonly ListPlace[]): Promise<void> | undefined {
    return together(places.map((place) => this.#lists.want(this.#keptAt(place))));
  }

  #wantDeltas(coverage: Coverage): Promise<void> | undefined {
    const complete = coverage.places.map((place) => this.#keptAt(place));
    return together(this.#deltasOf(coverage, complete).map((delta) => this.#lists.want(delta)));
  }
}

/** What keeps the lists that must be there from being used. */
function whyUnknown(
  { places, unnamed }: Coverage,
  kept: readonly KeptPlace[],
  usable: readonly boolean[],
): string | undefined {
  const missing = kept.find((_, i) => i < places.length && usable[i] !== true);
  if (missing?.failure !== undefined) return missing.failure;
  if (missing?.answer !== undefined) {
    const { url, nextUpdate } = missing.answer;
    return `list at "${url}" was due for an update at ${new Date(nextUpdate).toISOString()}`;
  }
  if (unnamed === undefined) return undefined;
  const { serialHex, issuer } = unnamed;
  return `certificate ${serialHex} of "${formatName(issuer)}" names no revocation list at an http address`;
}

function listsOf(kept: readonly KeptPlace[]) {
  return kept.flatMap(({ answer }) => (answer === undefined ? [] : [answer.crl]));
}

function together(pending: readonly (Promise<void> | undefined)[]): Promise<void> | undefined {
  const all = pending.filter((each) => each !== undefined);
  if (all.length === 0) return undefined;
  return Promise.all(all).then(() => {});
}
