import { createHash } from 'node:crypto';
import { CountersignError } from '@countersign/base';
import { positionOfSerial, type RevocationStatus, reservedPath } from '@countersign/spiffe';
import {
  type CoveredFrame,
  type HelloFrame,
  parseIssuerValue,
  type QuestionFrame,
  type RevocationBy,
  type RevocationFrame,
  toldBySerial,
} from '@countersign/wire';
import { CoveredPages } from './covered-positions.ts';
import { type Entry, RevokedNames, type ShownBy } from './revoked-names.ts';

/** What the set looks at in a verified peer; every VerifiedPeer is one. */
export interface JudgedPeer {
  readonly anchorFingerprint: string;
  readonly spiffeId: { toString(): string } | undefined;
  /** Leaf first, anchor last. */
  readonly chain: readonly JudgedCertificate[];
}

export interface JudgedCertificate {
  readonly serial: Uint8Array;
  readonly serialHex: string;
  readonly spki: { readonly raw: Uint8Array };
}

export type RevokedStatus = Extract<RevocationStatus, { readonly status: 'revoked' }>;

/** How long entries stay after the end of their certificates: clocks differ. */
export const keptAfterEndMs = 86_400_000;
/** Ends that are let go of together. */
const boxMs = 3_600_000;

/**
 * What one authority has revoked, as far as its frames were applied: each once, in order, none left out. Pure: it
 * neither waits nor looks at a clock. A few look-ups answer a question, whatever the size.
 */
export class RevokedSet {
  #trustDomain: string | undefined;
  /** Never shrinks: a retired root's certificates are judged for as long as somebody still trusts it. */
  readonly #anchors = new Set<string>();
  #position = 0;
  readonly #final = new RevokedNames();
  readonly #held = new RevokedNames();
  readonly #pages = new CoveredPages();
  /** Serials by when their certificates end. */
  readonly #boxes = new Map<number, string[]>();
  readonly #keyHashes = new WeakMap<object, string>();

  /** Of the newest revocation applied, 0 before any: the cursor to ask the feed from. */
  get position(): number {
    return this.#position;
  }

  /** How many distinct serials and names are revoked, and not forgotten. */
  get size(): number {
    return this.#final.size + this.#held.size;
  }

  get trustDomain(): string | undefined {
    return this.#trustDomain;
  }

  get anchors(): ReadonlySet<string> {
    return this.#anchors;
  }

  /**
   * Learns for which roots the authority speaks.
   *
   * @returns whether that was news
   * @throws CountersignError ERR_REVOCATION_AUTHORITY, ERR_REVOCATION_BEHIND
   */
  greet(hello: HelloFrame): boolean {
    if (this.#trustDomain !== undefined && this.#trustDomain !== hello.trustDomain) {
      throw new CountersignError(
        'ERR_REVOCATION_AUTHORITY',
        `feed is of trust domain "${hello.trustDomain}", followed so far was "${this.#trustDomain}"`,
        { fields: { trustDomain: hello.trustDomain, followed: this.#trustDomain } },
      );
    }
    this.#checkNotBehind(hello.position);
    const before = this.#anchors.size;
    this.#pages.clear();
    this.#trustDomain = hello.trustDomain;
    for (const anchor of hello.anchors) this.#anchors.add(anchor);
    return this.#anchors.size > before;
  }

  /**
   * Keeps a page of what the next revocation or question covers.
   *
   * @throws CountersignError ERR_REVOCATION_GAP
   */
  cover(page: CoveredFrame): void {
    this.#pages.add(page);
  }

  /**
   * Applies one revocation or release, or refuses it and changes nothing.
   *
   * @throws CountersignError ERR_REVOCATION_ORDER, ERR_REVOCATION_GAP, ERR_REVOCATION_UNMATCHABLE
   */
  apply(frame: RevocationFrame): void {
    const fields = { position: frame.position, previous: frame.previous, applied: this.#position };
    if (frame.position <= this.#position) {
      const sides = `revocation ${frame.position} came after ${this.#position} was applied`;
      throw new CountersignError('ERR_REVOCATION_ORDER', sides, { fields });
    }
    if (frame.previous !== this.#position) {
      const sides = `revocation ${frame.position} follows ${frame.previous}, last applied is ${this.#position}`;
      throw new CountersignError('ERR_REVOCATION_GAP', sides, { fields });
    }
    this.#checkPages(frame);
    if (frame.reason === 'removeFromCRL') this.#release(frame);
    else this.#add(frame, frame.reason === 'certificateHold' ? this.#held : this.#final);
    this.#pages.clear();
    this.#position = frame.position;
  }

  /**
   * Who would be covered by what is asked about, by the very rules of {@link find}.
   *
   * @throws CountersignError ERR_REVOCATION_GAP, ERR_REVOCATION_UNMATCHABLE
   */
  covered(question: QuestionFrame): (peer: JudgedPeer) => boolean {
    this.#checkPages(question);
    const { by, value, below, block } = question;
    const asked = new RevokedSet();
    asked.#trustDomain = this.#trustDomain;
    for (const anchor of this.#anchors) asked.#anchors.add(anchor);
    const frame = { type: 'revocation', position: below, previous: 0, at: 0 } as const;
    const named = { by, value, reason: 'unspecified', ...(block && { block }) } as const;
    asked.#add({ ...frame, ...named }, asked.#final, this.#pages);
    return (peer) => asked.find(peer) !== undefined;
  }

  /** Lets go of serials whose certificates ended long before `now`: nobody accepts them. */
  forget(now: number): void {
    for (const [box, serials] of this.#boxes) {
      if ((box + 1) * boxMs + keptAfterEndMs > now) continue;
      this.#boxes.delete(box);
      for (const serial of serials) {
        for (const { shown } of [this.#final, this.#held]) {
          const { until } = shown.serial.get(serial) ?? {};
          if (until !== undefined && boxOf(until) === box) shown.serial.delete(serial);
        }
      }
    }
  }

  /**
   * Whether everything up to the authority's head is applied.
   *
   * @throws CountersignError ERR_REVOCATION_BEHIND where the head is below what was applied
   */
  hasCaughtUp(head: number): boolean {
    this.#checkNotBehind(head);
    return head === this.#position;
  }

  /** Whether this authority speaks for the peer at all. */
  speaksFor(peer: JudgedPeer): boolean {
    return this.#anchors.has(peer.anchorFingerprint);
  }

  /** Whether the peer says that it is of the trust domain that the authority is of, under whatever root. */
  isOfSameDomain({ spiffeId }: JudgedPeer): boolean {
    const domain = `spiffe://${this.#trustDomain}/`;
    return this.#trustDomain !== undefined && spiffeId?.toString().startsWith(domain) === true;
  }

  /**
   * The revocation that covers the peer, its certificate or one that issued it. A peer under another authority's root is
   * never covered. But for serials, certificates ordered after the revocation are not: whoever enrolled anew since then
   * proved to be entitled to. One for good is answered before a hold.
   */
  find(peer: JudgedPeer): RevokedStatus | undefined {
    if (!this.speaksFor(peer)) return undefined;
    return this.#findIn(this.#final, peer) ?? this.#findIn(this.#held, peer);
  }

  #findIn(names: RevokedNames, peer: JudgedPeer): RevokedStatus | undefined {
    if (names.isEmpty) return undefined;
    const { chain } = peer;
    const { serial, key, issuer } = names.shown;
    const last = chain.length === 1 ? 1 : chain.length - 1;
    for (let at = 0; at < last; at += 1) {
      const certificate = chain[at] as JudgedCertificate;
      const bySerial = serial.get(certificate.serialHex);
      if (bySerial !== undefined) return revoked('serial', bySerial);
      const byKey = key.size === 0 ? undefined : key.get(this.#hashOf(certificate));
      if (byKey !== undefined && covers(byKey, certificate)) return revoked('key', byKey);
      const above = chain[at + 1];
      const byIssuer =
        issuer.size === 0 || above === undefined ? undefined : issuer.get(this.#hashOf(above));
      if (byIssuer !== undefined && (byIssuer.block === true || covers(byIssuer, certificate))) {
        return revoked('issuer', byIssuer);
      }
      const position = names.hasTold ? positionOfSerial(certificate.serial) : undefined;
      const told = position === undefined ? undefined : names.toldOf(position);
      if (told !== undefined) return revoked(told.by, told.entry);
    }
    const [leaf] = chain;
    return leaf === undefined || peer.spiffeId === undefined
      ? undefined
      : findByName(names, peer.spiffeId.toString(), leaf);
  }

  #add(frame: RevocationFrame, names: RevokedNames, pages = this.#pages): void {
    const { by, value, position, reason, at, block, until } = frame;
    const entry: Entry = { position, reason, at, ...(block && { block }), ...(until && { until }) };
    if (!isShown(by)) {
      names.tell({ by, value, runs: pages.take(), entry });
      return;
    }
    for (const name of namesOf(by, value)) names.shown[by].set(name, entry);
    // Of a key: what it vouched for without being in it.
    if (pages.count > 0) names.tell({ by, value, runs: pages.take(), entry });
    if (by !== 'serial' || until === undefined) return;
    const box = this.#boxes.get(boxOf(until));
    if (box === undefined) this.#boxes.set(boxOf(until), [value]);
    else box.push(value);
  }

  #release({ by, value }: RevocationFrame): void {
    this.#held.untell(by, value);
    if (!isShown(by)) return;
    for (const name of namesOf(by, value)) this.#held.shown[by].delete(name);
  }

  #checkPages({ by, value, pages, position }: RevocationFrame | QuestionFrame): void {
    if (pages === undefined && !isShown(by)) {
      throw new CountersignError(
        'ERR_REVOCATION_UNMATCHABLE',
        `revocation ${position} is by ${by} "${value.slice(0, 80)}", which no certificate shows`,
        { fields: { position, by } },
      );
    }
    if ((pages ?? 0) === this.#pages.count) return;
    const sides = `${pages ?? 0} pages of certificates that ${by} "${value.slice(0, 80)}" covers were announced, ${this.#pages.count} came`;
    throw new CountersignError('ERR_REVOCATION_GAP', sides, { fields: { position, pages } });
  }

  #checkNotBehind(head: number): void {
    if (head >= this.#position) return;
    throw new CountersignError(
      'ERR_REVOCATION_BEHIND',
      `newest revocation of the authority is ${head}, ${this.#position} was received before`,
      { fields: { head, applied: this.#position } },
    );
  }

  #hashOf(certificate: JudgedCertificate): string {
    const known = this.#keyHashes.get(certificate);
    if (known !== undefined) return known;
    const hash = createHash('sha256').update(certificate.spki.raw).digest('hex');
    this.#keyHashes.set(certificate, hash);
    return hash;
  }
}

/** What follows from the SPIFFE ID alone, of the leaf. */
function findByName(
  names: RevokedNames,
  id: string,
  leaf: JudgedCertificate,
): RevokedStatus | undefined {
  const byId = names.shown['spiffe-id'].get(id);
  if (byId !== undefined && covers(byId, leaf)) return revoked('spiffe-id', byId);
  const prefixes = names.shown['spiffe-prefix'];
  const path = id.indexOf('/', schemeLength);
  // The authority itself is no workload of its trust domain.
  if (prefixes.size === 0 || id.startsWith(`${reservedPath}/`, path)) return undefined;
  // Every beginning that ends with a slash, from the whole trust domain on.
  for (let slash = path; slash > 0; slash = id.indexOf('/', slash + 1)) {
    const byPrefix = prefixes.get(id.slice(0, slash + 1));
    if (byPrefix !== undefined && covers(byPrefix, leaf)) return revoked('spiffe-prefix', byPrefix);
  }
  return undefined;
}

const schemeLength = 'spiffe://'.length;

function isShown(by: RevocationBy): by is ShownBy {
  return !toldBySerial.has(by);
}

function namesOf(by: ShownBy, value: string): readonly string[] {
  return by === 'issuer' ? parseIssuerValue(value).keys : [value];
}

function boxOf(until: number): number {
  return Math.floor(until / boxMs);
}

/** A serial that does not tell its position was not ordered through this ledger: nothing says it came later. */
function covers(entry: Entry, certificate: JudgedCertificate): boolean {
  const ordered = positionOfSerial(certificate.serial);
  return ordered === undefined || ordered < entry.position;
}

function revoked(by: RevokedStatus['by'], entry: Entry): RevokedStatus {
  return { status: 'revoked', by, reason: entry.reason, position: entry.position, at: entry.at };
}
