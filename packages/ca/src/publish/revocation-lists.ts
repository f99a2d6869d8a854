import {
  type Clock,
  CountersignError,
  type Denial,
  denial,
  fromHex,
  type Log,
  messageOf,
} from '@countersign/base';
import type { Signer } from '@countersign/x509';
import type { RevokedRow } from '../ledger/ledger.ts';
import { configNameOf } from '../rotation/rotation-document.ts';
import { Bell } from '../serve/bell.ts';
import { ExpiringEntries } from './expiring-entries.ts';
import type { ListState, ListStateStore } from './list-state.ts';
import type { CrlConfig } from './publish-config.ts';
import type { PublishMetrics } from './publish-metrics.ts';
import { type ListPart, publishedPath, shardOf, slugOf } from './published-paths.ts';
import type { PublishingIssuer } from './publishing-issuer.ts';
import { type ListTimes, RevocationList, type SignedList } from './revocation-list.ts';
import type { RevokedIndex } from './revoked-index.ts';

export interface RevocationListsOptions {
  readonly issuers: readonly PublishingIssuer[];
  readonly crl: CrlConfig;
  /** How addresses begin: `publish.url`. */
  readonly url: string;
  /** Of service certificates: how far apart the ends of certificates are. */
  readonly longestMs: number;
  readonly states: ListStateStore;
  /**
   * Gives the next list at a path its number: the one that is wanted, or a higher one. None, where another process made
   * a list that knows of revocations beyond `position`.
   */
  readonly takeNumber: (
    path: string,
    wanted: bigint,
    position: number,
  ) => Promise<bigint | undefined>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: PublishMetrics;
}

/** The lists of one issuer: in parts, which are kept up to date, and whole. */
interface IssuerLists {
  readonly issuer: PublishingIssuer;
  readonly slug: string;
  readonly parts: readonly RevocationList[];
  /** The only part, or one more list over all of them, made when it is asked for. */
  readonly whole: RevocationList;
}

const firstRetryMs = 1000;
const longestRetryMs = 60_000;
/** A clock that is set is noticed so soon. */
const longestSleepMs = 30_000;
/** Signing and writing take part of the time that a revocation has to reach its list. */
const marginMs = 150;
/** Lists that are made at once, and whose numbers are kept by one write. */
const together = 16;

/**
 * Every list of every issuer, made again when something was revoked, before its end, and when the clock went back. Never
 * on the path of a revocation: that ends with the ledger's commit.
 */
export class RevocationLists {
  readonly #options: RevocationListsOptions;
  readonly #bell = new Bell();
  readonly #stopped = new AbortController();
  readonly #issuers = new Map<string, IssuerLists>();
  /** By path, the deltas' too. */
  readonly #byPath = new Map<
    string,
    { readonly list: RevocationList; readonly isDelta: boolean }
  >();
  readonly #changed = new Set<RevocationList>();
  /** Failed, until then (monotonic). */
  readonly #retries = new Map<RevocationList, { readonly at: number; readonly waitMs: number }>();
  readonly #underWay = new Map<RevocationList, Promise<SignedList>>();
  readonly #states: Map<string, ListState>;
  /** When the first of the changes came that no list has yet (monotonic). */
  #changedSince = Number.POSITIVE_INFINITY;
  /** How long the last lists took. */
  #lastMs = 0;
  /** The latest that the clock has shown. */
  #latest = Number.NEGATIVE_INFINITY;
  #keeping: Promise<void> = Promise.resolve();
  #writing: Promise<unknown> = Promise.resolve();
  #nextWrite: Promise<void> | undefined;

  private constructor(options: RevocationListsOptions, states: ReadonlyMap<string, ListState>) {
    this.#options = options;
    this.#states = new Map(states);
    this.takeUp(options.issuers);
  }

  /** @throws CountersignError ERR_STATE_BROKEN */
  static async open(options: RevocationListsOptions): Promise<RevocationLists> {
    return new RevocationLists(options, await options.states.read());
  }

  /** Who issues now: those that are new have their lists kept, too. */
  takeUp(issuers: readonly PublishingIssuer[]): void {
    for (const issuer of issuers) {
      if (!this.#issuers.has(issuer.name)) this.#issuers.set(issuer.name, this.#listsOf(issuer));
    }
    this.#bell.ring();
  }

  /** Keeps the lists from now on, as soon as everything was told that is in the ledger. */
  keep(index: RevokedIndex): void {
    this.#keeping = this.#keep(index);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#keeping;
  }

  /** A certificate was revoked. */
  add(row: RevokedRow): void {
    const lists = this.#issuers.get(row.issuer);
    if (lists === undefined) return;
    const { clock } = this.#options;
    const serial = fromHex(row.serialHex) ?? new Uint8Array();
    const part = lists.parts[shardOf(serial, lists.parts.length)];
    if (part === undefined) return;
    part.add(row, clock.now());
    if (part !== lists.whole) lists.whole.add(row, clock.now());
    this.#changed.add(part);
    if (this.#changedSince !== Number.POSITIVE_INFINITY) return;
    this.#changedSince = clock.monotonic();
    this.#bell.ring();
  }

  /** Everything is going to be added again. */
  clear(): void {
    const now = this.#options.clock.now();
    for (const { parts, whole } of this.#issuers.values()) {
      for (const list of new Set([...parts, whole])) list.clear(now);
    }
  }

  /** The list at a path; undefined where there is none, or none yet. */
  at(path: string): SignedList | undefined {
    const found = this.#byPath.get(path);
    return found?.isDelta === true ? found.list.made?.delta : found?.list.made?.complete;
  }

  isPath(path: string): boolean {
    return this.#byPath.has(path);
  }

  /** Every list that is kept, for the index of what there is. */
  *all(): Generator<{ readonly issuer: string; readonly path: string; readonly list: SignedList }> {
    for (const [path, { list, isDelta }] of this.#byPath) {
      const signed = isDelta ? list.made?.delta : list.made?.complete;
      if (signed !== undefined) yield { issuer: list.scope.issuer.name, path, list: signed };
    }
  }

  /** An issuer's whole list where it is kept in parts: made when somebody wants it, and not more often than the parts. */
  async wholeOf(slug: string, index: RevokedIndex): Promise<SignedList | Denial> {
    const { clock, crl } = this.#options;
    for (const { slug: known, whole } of this.#issuers.values()) {
      if (known !== slug) continue;
      const list = whole.made?.complete;
      const age = list === undefined ? Number.NaN : clock.now() - list.madeAt;
      return list !== undefined && age >= 0 && age < crl.coalesceMs
        ? list
        : await this.#fresh(whole, index);
    }
    return denial('ERR_PUBLISH_ISSUER', `there is no issuer "${slug}"`);
  }

  /**
   * The list of an issuer as of now.
   *
   * Denials: ERR_PUBLISH_ISSUER, ERR_PUBLISH_ROOT_KEY, ERR_PUBLISH_LOADING.
   */
  async current(
    name: string,
    shard: number | undefined,
    index: RevokedIndex,
  ): Promise<SignedList | Denial> {
    const lists = this.#issuers.get(name);
    if (lists === undefined) {
      const known = [...this.#issuers.keys()].map((each) => `"${each}"`).join(', ');
      return denial('ERR_PUBLISH_ISSUER', `there is no issuer "${name}", there are ${known}`);
    }
    const list = shard === undefined ? lists.whole : lists.parts[shard];
    if (list === undefined) {
      const sides = `there is no list ${shard} of "${name}", there are ${lists.parts.length}`;
      return denial('ERR_PUBLISH_ISSUER', sides);
    }
    return await this.#fresh(list, index);
  }

  /** Why relying parties are without a list; undefined while they have them. */
  unwell(): string | undefined {
    const now = this.#options.clock.now();
    for (const { issuer, parts } of this.#issuers.values()) {
      const over = parts.find(({ made }) => made !== undefined && made.complete.nextUpdate <= now);
      if (over !== undefined) return `the revocation list of "${issuer.name}" is past its end`;
    }
    return undefined;
  }

  #listsOf(issuer: PublishingIssuer): IssuerLists {
    const { crl } = this.#options;
    const isRoot = configNameOf(issuer.name) === 'root';
    const slug = slugOf(issuer.name, issuer.certificate);
    const count = isRoot ? 1 : crl.shards;
    const times: ListTimes = isRoot
      ? { validityMs: crl.rootValidityMs, refreshMs: crl.rootValidityMs / 2, deltaMs: undefined }
      : crl;
    const boxMs = isRoot ? 30 * dayMs : Math.max(times.refreshMs, this.#options.longestMs / 32);
    const entries = Array.from({ length: count }, () => new ExpiringEntries(boxMs));
    const parts = entries.map((own, shard) => {
      const part = count === 1 ? undefined : { count, shard };
      // Those of one issuer are not due all at once.
      const early = (times.refreshMs / 4) * (shard / count);
      const spread = { ...times, refreshMs: times.refreshMs - early };
      return this.#list({ issuer, slug, part, times: spread, entries: [own], ownsEntries: true });
    });
    const [first, second] = parts;
    if (first !== undefined && second === undefined) return { issuer, slug, parts, whole: first };
    const whole = { issuer, slug, part: undefined, times: { ...times, deltaMs: undefined } };
    return { issuer, slug, parts, whole: this.#list({ ...whole, entries, ownsEntries: false }) };
  }

  #list(about: {
    readonly issuer: PublishingIssuer;
    readonly slug: string;
    readonly part: ListPart;
    readonly times: ListTimes;
    readonly entries: readonly ExpiringEntries[];
    readonly ownsEntries: boolean;
  }): RevocationList {
    const { issuer, slug, part, times, entries, ownsEntries } = about;
    const { url } = this.#options;
    const path = publishedPath.crl(slug, part);
    const deltaPath = publishedPath.delta(slug, part);
    const list = new RevocationList(
      {
        path,
        issuer,
        distributionPoint: part === undefined ? undefined : url + path,
        delta: times.deltaMs === undefined ? undefined : { path: deltaPath, url: url + deltaPath },
      },
      { times, entries, ownsEntries, state: this.#states.get(path) },
    );
    if (issuer.signer === undefined) return list;
    if (ownsEntries) this.#byPath.set(path, { list, isDelta: false });
    if (times.deltaMs !== undefined) this.#byPath.set(deltaPath, { list, isDelta: true });
    return list;
  }

  async #keep(index: RevokedIndex): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stopped;
    const stopped = new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    while (!signal.aborted) {
      if (!index.isLoaded) await Promise.race([index.loaded, stopped]);
      if (signal.aborted) return;
      const { rings } = this.#bell;
      this.#noticeClock(index);
      if (!index.isLoaded) continue;
      const kept = this.#kept();
      const due = kept.filter((list) => this.#dueInMs(list) <= 0);
      if (due.length > 0) {
        await this.#make(due, index);
        continue;
      }
      const next = kept.reduce(
        (least, list) => Math.min(least, this.#dueInMs(list)),
        longestSleepMs,
      );
      await this.#bell.wait(rings, Math.max(1, next), clock, signal);
    }
  }

  /** Entries were let go of by a clock that ran ahead: then they are read again. */
  #noticeClock(index: RevokedIndex): void {
    const now = this.#options.clock.now();
    if (now < this.#latest - clockSlackMs) {
      const back = new Date(this.#latest).toISOString();
      this.#options.log.warn({ from: back }, 'the clock went back: lists are made anew');
      this.#latest = now;
      index.restart();
      return;
    }
    this.#latest = Math.max(this.#latest, now);
  }

  /** Of issuers whose key is here and whose certificate has not ended. */
  #kept(): RevocationList[] {
    const now = this.#options.clock.now();
    return [...this.#issuers.values()]
      .filter(({ issuer }) => issuer.signer !== undefined && issuer.certificate.notAfter > now)
      .flatMap(({ parts }) => parts);
  }

  #dueInMs(list: RevocationList): number {
    const { clock } = this.#options;
    const [now, mono] = [clock.now(), clock.monotonic()];
    const retry = this.#retries.get(list);
    if (retry !== undefined) return retry.at - mono;
    const changeDue = this.#changed.has(list)
      ? this.#changesDueAt() - mono
      : Number.POSITIVE_INFINITY;
    return Math.min(changeDue, list.dueAt(now) - now);
  }

  /** So that what was revoked first is on its list in time. */
  #changesDueAt(): number {
    const { coalesceMs } = this.#options.crl;
    const waitMs = Math.max(coalesceMs / 2, coalesceMs - this.#lastMs - marginMs);
    return this.#changedSince + waitMs;
  }

  async #make(due: readonly RevocationList[], index: RevokedIndex): Promise<void> {
    const { clock } = this.#options;
    const started = clock.monotonic();
    this.#changedSince = Number.POSITIVE_INFINITY;
    for (let from = 0; from < due.length; from += together) {
      if (this.#stopped.signal.aborted) return;
      const lists = due.slice(from, from + together);
      await Promise.all(
        lists.map((list) =>
          this.#makeOne(list, index).catch((thrown: unknown) => this.#failed(list, thrown)),
        ),
      );
      // Requests get their turn in between.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    if (this.#changed.size > 0 && this.#changedSince === Number.POSITIVE_INFINITY) {
      this.#changedSince = clock.monotonic();
    }
    this.#lastMs = clock.monotonic() - started;
  }

  /** One list is made by one at a time: its numbers follow each other. */
  async #makeOne(list: RevocationList, index: RevokedIndex): Promise<SignedList> {
    const before = this.#underWay.get(list)?.catch(() => {});
    const mine = Promise.resolve(before).then(() => this.#makeNow(list, index));
    this.#underWay.set(list, mine);
    try {
      return await mine;
    } finally {
      if (this.#underWay.get(list) === mine) this.#underWay.delete(list);
    }
  }

  async #makeNow(list: RevocationList, index: RevokedIndex): Promise<SignedList> {
    const { clock, metrics, log } = this.#options;
    const { issuer, path } = list.scope;
    const signer = await openSigner(issuer);
    const started = clock.monotonic();
    this.#changed.delete(list);
    const { now, position, taken } = await this.#takeNumber(list, index);
    const made = await list.make(signer, { now, position, number: taken });
    // The number is durable before anybody sees it: a crash here leaves a gap, never a repetition.
    await this.#remember(path, made.state);
    list.publish(made);
    this.#retries.delete(list);
    const { complete } = made.made;
    const seconds = (clock.monotonic() - started) / 1000;
    metrics.tellList(issuer.name, this.#byPath.has(path) ? path : undefined, complete, seconds);
    const { entries, number, nextUpdate } = complete;
    log.debug({ path, number: String(number), entries, nextUpdate }, 'revocation list made');
    return complete;
  }

  /** What other processes have listed by now is going to be heard of here in a moment. */
  async #takeNumber(list: RevocationList, index: RevokedIndex) {
    const { clock, takeNumber } = this.#options;
    const deadline = clock.monotonic() + longestWaitMs;
    for (;;) {
      const [now, { position }] = [clock.now(), index];
      const { path } = list.scope;
      const taken = await takeNumber(path, list.wantedNumber(now, position), position);
      if (taken !== undefined) return { now, position, taken };
      if (clock.monotonic() > deadline) {
        const sides = `other processes know of revocations behind ${position}, they are not heard of here`;
        throw new CountersignError('ERR_PUBLISH_LOADING', sides);
      }
      await clock.sleep(behindMs, { signal: this.#stopped.signal, ref: false });
    }
  }

  /** One write after the other, each with all that has gathered by then. */
  #remember(path: string, state: ListState): Promise<void> {
    this.#states.set(path, state);
    if (this.#nextWrite !== undefined) return this.#nextWrite;
    const write = this.#writing.then(() => {
      this.#nextWrite = undefined;
      return this.#options.states.write(this.#states);
    });
    this.#nextWrite = write;
    this.#writing = write.catch(() => {});
    return write;
  }

  #failed(list: RevocationList, thrown: unknown): void {
    const { clock, log, metrics } = this.#options;
    const { path, issuer } = list.scope;
    const waitMs = Math.min(
      longestRetryMs,
      (this.#retries.get(list)?.waitMs ?? 0) * 2 || firstRetryMs,
    );
    this.#retries.set(list, { at: clock.monotonic() + waitMs, waitMs });
    if (list.isChanged) this.#changed.add(list);
    metrics.listFailed(issuer.name);
    const code = thrown instanceof CountersignError ? thrown.code : undefined;
    const until = list.made?.complete.nextUpdate;
    const error = messageOf(thrown);
    log.error({ path, code, error, waitMs, until }, 'revocation list not made, the last one stays');
  }

  /** A list with everything that is revoked by now, made where the one at hand lacks something. */
  async #fresh(list: RevocationList, index: RevokedIndex): Promise<SignedList | Denial> {
    if (list.scope.issuer.signer === undefined) {
      const message = `the key of "${list.scope.issuer.name}" is not here, so nothing can sign its list`;
      return denial('ERR_PUBLISH_ROOT_KEY', message);
    }
    await index.ready(longestWaitMs);
    if (!index.isLoaded) return denial('ERR_PUBLISH_LOADING', 'revocations are still being read');
    await this.#underWay.get(list)?.catch(() => {});
    const now = this.#options.clock.now();
    const { made } = list;
    if (made !== undefined && !list.isChanged && list.dueAt(now) > now) return made.complete;
    return await this.#makeOne(list, index);
  }
}

function openSigner(issuer: PublishingIssuer): Promise<Signer> {
  if (issuer.signer !== undefined) return issuer.signer();
  throw new TypeError(`the key of "${issuer.name}" is not here`);
}

const longestWaitMs = 5000;
const behindMs = 20;
const dayMs = 86_400_000;
const clockSlackMs = 5000;
