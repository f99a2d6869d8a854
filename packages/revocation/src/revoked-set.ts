import { createHash } from 'node:crypto';
import { CountersignError } from '@countersign/base';
import { positionOfSerial, type RevocationStatus } from '@countersign/spiffe';
import type { HelloFrame, RevocationFrame } from '@countersign/wire';

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

type Entry = Pick<RevocationFrame, 'position' | 'reason' | 'at'>;

/**
 * What one authority has revoked, as far as its frames were applied: each once, in order, none left out. Pure: it
 * neither waits nor looks at a clock. Three look-ups answer a question, whatever the size.
 */
export class RevokedSet {
  #trustDomain: string | undefined;
  /** Never shrinks: a retired root's certificates are judged for as long as somebody still trusts it. */
  readonly #anchors = new Set<string>();
  #position = 0;
  readonly #bySerial = new Map<string, Entry>();
  readonly #bySpiffeId = new Map<string, Entry>();
  readonly #byKey = new Map<string, Entry>();
  readonly #keyHashes = new WeakMap<object, string>();

  /** Of the newest revocation applied, 0 before any: the cursor to ask the feed from. */
  get position(): number {
    return this.#position;
  }

  /** How many distinct serials, SPIFFE IDs and keys are revoked. */
  get size(): number {
    return this.#bySerial.size + this.#bySpiffeId.size + this.#byKey.size;
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
    this.#trustDomain = hello.trustDomain;
    for (const anchor of hello.anchors) this.#anchors.add(anchor);
    return this.#anchors.size > before;
  }

  /**
   * Applies one revocation, or refuses it and changes nothing.
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
    const { position, reason, at } = frame;
    this.#mapFor(frame).set(frame.value, { position, reason, at });
    this.#position = position;
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
   * The revocation that covers the peer: of its certificate or of one that issued it, by serial or by key; or of its
   * SPIFFE ID. A peer under another authority's root is never covered. By SPIFFE ID and by key, certificates ordered
   * after the revocation are not: whoever enrolled anew since then proved to be entitled to.
   */
  find(peer: JudgedPeer): RevokedStatus | undefined {
    if (!this.speaksFor(peer)) return undefined;
    const [leaf] = peer.chain;
    if (leaf === undefined) return undefined;
    const beforeAnchor = peer.chain.length === 1 ? peer.chain : peer.chain.slice(0, -1);
    for (const certificate of beforeAnchor) {
      const bySerial = this.#bySerial.get(certificate.serialHex);
      if (bySerial !== undefined) return revoked('serial', bySerial);
      const byKey = this.#byKey.size === 0 ? undefined : this.#byKey.get(this.#hashOf(certificate));
      if (byKey !== undefined && covers(byKey, certificate)) return revoked('key', byKey);
    }
    if (peer.spiffeId === undefined) return undefined;
    const byId = this.#bySpiffeId.get(peer.spiffeId.toString());
    return byId !== undefined && covers(byId, leaf) ? revoked('spiffe-id', byId) : undefined;
  }

  #mapFor(frame: RevocationFrame): Map<string, Entry> {
    if (frame.by === 'serial') return this.#bySerial;
    if (frame.by === 'spiffe-id') return this.#bySpiffeId;
    if (frame.by === 'key') return this.#byKey;
    throw new CountersignError(
      'ERR_REVOCATION_UNMATCHABLE',
      `revocation ${frame.position} is by ${frame.by} "${frame.value.slice(0, 80)}", which no certificate shows`,
      { fields: { position: frame.position, by: frame.by } },
    );
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

/** A serial that does not tell its position was not ordered through this ledger: nothing says it came later. */
function covers(entry: Entry, certificate: JudgedCertificate): boolean {
  const ordered = positionOfSerial(certificate.serial);
  return ordered === undefined || ordered < entry.position;
}

function revoked(by: RevokedStatus['by'], entry: Entry): RevokedStatus {
  return { status: 'revoked', by, reason: entry.reason, position: entry.position, at: entry.at };
}
