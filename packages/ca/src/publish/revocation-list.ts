import {
  buildCrl,
  CrlEntryWriter,
  type Extension,
  extension,
  type Signer,
} from '@countersign/x509';
import type { RevokedRow } from '../ledger/ledger.ts';
import { isRelease } from '../ledger/revocation-order.ts';
import type { ExpiringEntries } from './expiring-entries.ts';
import { type ListMark, type ListState, markedList, nextNumber } from './list-state.ts';
import type { PublishingIssuer } from './publishing-issuer.ts';

/** Which certificates a list is about, and what it says of itself. */
export interface ListScope {
  /** The path below `publish.url`; also the key of its state. */
  readonly path: string;
  readonly issuer: PublishingIssuer;
  /** For one part of an issuer's certificates: the address that they name. */
  readonly distributionPoint: string | undefined;
  /** Path and address of its delta list, where there is one. */
  readonly delta: { readonly path: string; readonly url: string } | undefined;
}

export interface ListTimes {
  readonly validityMs: number;
  readonly refreshMs: number;
  /** Of its delta list. */
  readonly deltaMs: number | undefined;
}

/** A signed list, ready to be given out. */
export interface SignedList {
  /** DER. */
  readonly bytes: Uint8Array;
  readonly number: bigint;
  readonly entries: number;
  readonly madeAt: number;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
}

export interface MadeLists {
  readonly complete: SignedList;
  readonly delta: SignedList | undefined;
}

/** Lists begin this long before they are made, or a twentieth of their validity, as certificates do: clocks are behind. */
const largestSkewMs = 60_000;

/**
 * One list and its delta, from revocation to revocation. It knows what is due; when to look, and where the result goes,
 * is its keeper's. Entries that expired stay until a list beyond their end was due by the clock (RFC 5280 §3.3).
 */
export class RevocationList {
  readonly scope: ListScope;
  readonly times: ListTimes;
  readonly #entries: readonly ExpiringEntries[];
  /** False where the entries are those of other lists. */
  readonly #ownsEntries: boolean;
  #state: ListState | undefined;
  #made: MadeLists | undefined;
  /** How often something was added, and how much of that is on the list at hand. */
  #changes = 0;
  #listed = 0;
  /** Revocations since the base of the delta, in their order. */
  #recent: RevokedRow[] = [];
  #recentAbove: number;
  /** Of its revocations. */
  #newestAt = Number.NEGATIVE_INFINITY;

  constructor(
    scope: ListScope,
    parts: {
      readonly times: ListTimes;
      readonly entries: readonly ExpiringEntries[];
      readonly ownsEntries: boolean;
      readonly state: ListState | undefined;
    },
  ) {
    this.scope = scope;
    this.times = parts.times;
    this.#entries = parts.entries;
    this.#ownsEntries = parts.ownsEntries;
    this.#state = parts.state;
    this.#recentAbove = parts.state?.marks[0].position ?? Number.POSITIVE_INFINITY;
  }

  get made(): MadeLists | undefined {
    return this.#made;
  }

  /** A certificate of its scope was revoked or released. Where the entries are its own, it takes this one in, or lets it go. */
  add(row: RevokedRow, now: number): void {
    const { serialHex, at, reason, notAfter } = row;
    // What expired before the last list that was due is on that one, or was before anything was published.
    if (notAfter < (this.#state?.scheduledAt ?? now)) return;
    const [own] = this.#ownsEntries ? this.#entries : [];
    if (isRelease(reason)) own?.release(serialHex);
    else own?.add({ serialHex, date: at, reason }, notAfter);
    if (row.revocation > this.#recentAbove && this.times.deltaMs !== undefined) {
      this.#recent.push(row);
    }
    this.#newestAt = Math.max(this.#newestAt, at);
    this.#changes += 1;
  }

  /** Everything is going to be added again. */
  clear(now: number): void {
    this.#recent = [];
    if (this.#ownsEntries) for (const entries of this.#entries) entries.clear();
    const state = this.#state;
    if (state !== undefined && state.scheduledAt > now)
      this.#state = { ...state, scheduledAt: now };
  }

  get isChanged(): boolean {
    return this.#changes !== this.#listed;
  }

  /** When it has to be made again though nothing is revoked; at once, where the clock has gone back behind it. */
  dueAt(now: number): number {
    if (this.#made === undefined || this.#state === undefined) return now;
    const { complete, delta } = this.#made;
    const newest = Math.max(complete.madeAt, delta?.madeAt ?? 0, this.#state.scheduledAt);
    if (now < newest - clockSlackMs) return now;
    const deltaDue =
      delta === undefined ? Number.POSITIVE_INFINITY : delta.madeAt + lifeOf(delta) / 2;
    return Math.min(this.#state.scheduledAt + this.times.refreshMs, deltaDue);
  }

  /** The least number that the next list may have. */
  wantedNumber(now: number, position: number): bigint {
    return nextNumber(this.#state?.number, position, now);
  }

  /**
   * Signs what is due. The result counts once {@link publish} was called with it, after its state was made durable.
   *
   * @param about.position of the newest revocation that was told
   * @param about.number its number, and its delta's; at least {@link wantedNumber}
   */
  async make(
    signer: Signer,
    about: { readonly now: number; readonly position: number; readonly number: bigint },
  ): Promise<MadeAndState> {
    const { now, position, number } = about;
    // 1. what is due; everything up to the signature sees one state of the entries
    const state = this.#state;
    const isScheduled = this.#isScheduled(now);
    const isWhole = isScheduled || this.isChanged || this.#made === undefined;
    if (isScheduled && this.#ownsEntries && state !== undefined) {
      for (const entries of this.#entries) entries.dropExpired(Math.min(state.scheduledAt, now));
    }
    const changes = this.#changes;
    const mark = { at: now, number, position };
    const next: ListState = {
      number,
      scheduledAt: isScheduled || state === undefined ? now : state.scheduledAt,
      marks:
        isWhole || state === undefined
          ? markedList(state?.marks, mark, this.times.validityMs)
          : state.marks,
    };
    const [base] = next.marks;
    this.#recentAbove = Math.min(this.#recentAbove, base.position);

    // 2. the complete list and the delta, with one number (RFC 5280 §5.2.3)
    const [complete, delta] = await Promise.all([
      (isWhole ? undefined : this.#made?.complete) ?? this.#complete(signer, now, number),
      this.#delta(signer, { now, number, base }),
    ]);
    return { made: { complete, delta }, state: next, changes };
  }

  publish({ made, state, changes }: MadeAndState): void {
    this.#made = made;
    this.#state = state;
    this.#listed = changes;
    const [{ position }] = state.marks;
    this.#recentAbove = position;
    this.#recent = this.#recent.filter((row) => row.revocation > position);
  }

  #isScheduled(now: number): boolean {
    const scheduledAt = this.#state?.scheduledAt;
    if (scheduledAt === undefined || now < scheduledAt - clockSlackMs) return true;
    return now >= scheduledAt + this.times.refreshMs;
  }

  #complete(signer: Signer, now: number, number: bigint): Promise<SignedList> {
    const { delta } = this.scope;
    const more = delta === undefined ? [] : [extension.freshestCrl([[delta.url]])];
    return this.#sign(
      signer,
      { now, number, validityMs: this.times.validityMs, more },
      {
        pieces: this.#entries.flatMap(({ pieces }) => pieces),
        count: this.#entries.reduce((sum, { count }) => sum + count, 0),
      },
    );
  }

  async #delta(
    signer: Signer,
    about: { readonly now: number; readonly number: bigint; readonly base: ListMark },
  ): Promise<SignedList | undefined> {
    const { now, number, base } = about;
    const { deltaMs } = this.times;
    if (this.scope.delta === undefined || deltaMs === undefined) return undefined;
    const writer = new CrlEntryWriter();
    // RFC 5280 §5.2.4: one entry a certificate, its state by now. What was put on hold and released since the base is told
    // too, for a list in between may have had it.
    const newest = new Map(this.#recent.map((row) => [row.serialHex, row]));
    for (const { revocation, serialHex, at, reason } of newest.values()) {
      if (revocation > base.position) writer.add({ serialHex, date: at, reason });
    }
    const more = [extension.deltaCrlIndicator(base.number)];
    return await this.#sign(signer, { now, number, validityMs: deltaMs, more }, writer);
  }

  async #sign(
    signer: Signer,
    about: {
      readonly now: number;
      readonly number: bigint;
      readonly validityMs: number;
      readonly more: readonly Extension[];
    },
    entries: { readonly pieces: readonly Uint8Array[]; readonly count: number },
  ): Promise<SignedList> {
    const { issuer, distributionPoint } = this.scope;
    const { now, number, validityMs } = about;
    const { count } = entries;
    // Never before what is on it.
    const skewed = now - Math.min(largestSkewMs, Math.floor(validityMs / 20));
    const thisUpdate = Math.min(now, Math.max(skewed, this.#newestAt));
    const nextUpdate = thisUpdate + validityMs;
    // RFC 5280 §5.2.5: only where it is about a part; then in the very words of the certificates
    const scope =
      distributionPoint === undefined
        ? []
        : [extension.issuingDistributionPoint({ uris: [distributionPoint] })];
    const bytes = await buildCrl({
      signer,
      issuer: issuer.certificate.subject,
      authorityKeyId: issuer.certificate.subjectKeyId,
      thisUpdate,
      nextUpdate,
      crlNumber: number,
      entries,
      extensions: [...scope, ...about.more],
    });
    return { bytes, number, entries: count, madeAt: now, thisUpdate, nextUpdate };
  }
}

export interface MadeAndState {
  readonly made: MadeLists;
  readonly state: ListState;
  readonly changes: number;
}

/** What time services do to a clock without its having gone back. */
const clockSlackMs = 5000;

function lifeOf({ madeAt, nextUpdate }: SignedList): number {
  return nextUpdate - madeAt;
}
