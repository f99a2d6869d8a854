import {
  type Clock,
  type Counter,
  CountersignError,
  type Denial,
  denial,
  type Gauge,
  type Histogram,
  type Log,
  type Meter,
  messageOf,
} from '@countersign/base';
import { describePeer } from '@countersign/mtls';
import { ChangeSignal, type Changes, type VerifiedPeer } from '@countersign/spiffe';
import { type AuthorityClient, type NoteKey, serialRule, verifyLogged } from '@countersign/wire';

/** For `onSilence`: let a peer in whose certificate could not be looked up in the log. */
export const allowUnproved: unique symbol = Symbol('allow unproved certificates');

export interface LoggedPeersOptions {
  /** Of the log, pinned: what is not signed by it proves nothing. */
  readonly key: NoteKey;
  /** Who is asked for proofs; what it answers is believed as far as it is proved. */
  readonly authority: Pick<AuthorityClient, 'logProof'>;
  /** How long an admission waits for a proof. */
  readonly waitMs: number;
  readonly onSilence: 'refuse' | typeof allowUnproved;
  /** Certificates that are remembered; the one longest unseen is forgotten first, and looked up again. */
  readonly capacity: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/** What is known of one certificate, by its fingerprint. What the log has, it has for good. */
interface Known {
  state: 'unasked' | 'proved' | 'unlogged' | 'silent';
  /** Why it is not proved. */
  detail: string;
  /** On the monotonic clock. */
  askedAt: number;
  pending: Promise<void> | undefined;
  /** A connection stands on it that is not proved. */
  isLetIn: boolean;
  readonly serialHex: string;
  readonly der: Uint8Array;
}

/** Before the same certificate is looked up again. */
const patienceMs = { unasked: 0, proved: 0, unlogged: 10_000, silent: 1000 } as const;
const unknownToLedger = 'ERR_LEDGER_CERTIFICATE_UNKNOWN';
const lookUpsAtOnce = 16;
const retryEveryMs = 10_000;

/**
 * Whether the certificates of peers are in the authority's issuance log (RFC 9162): one that was signed past it, with a
 * stolen key of an intermediate, is not. A proof is asked for at the first admission of a certificate and kept by its
 * fingerprint, so that later connections and requests cost a look into a map.
 */
export class LoggedPeers implements Changes {
  readonly #options: LoggedPeersOptions;
  readonly #known = new Map<string, Known>();
  /** Outlives what `#known` forgets, for as long as the connection does. */
  readonly #ofPeer = new WeakMap<VerifiedPeer, Known>();
  readonly #letIn = new Set<Known>();
  readonly #changes: ChangeSignal;
  readonly #stopping = new AbortController();
  readonly #queue: (() => void)[] = [];
  readonly #proofs: Counter;
  readonly #waited: Histogram;
  readonly #silent: Gauge;
  #underWay = 0;
  #failure: string | undefined;
  #treeSize = 0;

  constructor(options: LoggedPeersOptions) {
    this.#options = options;
    this.#changes = new ChangeSignal((thrown) => {
      options.log.error({ err: thrown }, 'a listener to log proofs failed');
    });
    this.#proofs = options.meter.counter(metrics.proofs);
    this.#waited = options.meter.histogram(metrics.waited);
    this.#silent = options.meter.gauge(metrics.silent);
    this.#silent.set(0);
    if (options.onSilence === allowUnproved) void this.#retryForEver();
  }

  /** Looks the peer's certificate up, where that has not been done; an admission waits `waitMs` at most. */
  prepare(peer: VerifiedPeer): Promise<void> | undefined {
    const known = this.#knownOf(peer);
    if (known.state === 'proved') return undefined;
    const { clock } = this.#options;
    const isDue = clock.monotonic() - known.askedAt >= patienceMs[known.state];
    if (known.pending === undefined && isDue) this.#ask(known);
    return known.pending === undefined ? undefined : this.#waitFor(known.pending);
  }

  /** Why the peer may not be let in, or undefined. Denials: ERR_PEER_UNLOGGED, ERR_PEER_LOG_SILENT. */
  wrongWith(peer: VerifiedPeer): Denial | undefined {
    const known = this.#ofPeer.get(peer) ?? this.#knownOf(peer);
    if (known.state === 'proved') return undefined;
    const { key, onSilence } = this.#options;
    const fields = { ...describePeer(peer), log: key.name };
    if (known.state === 'unlogged') {
      const detail = `certificate is not in log "${key.name}": ${known.detail}`;
      return denial('ERR_PEER_UNLOGGED', detail, fields);
    }
    if (onSilence !== allowUnproved) {
      const detail = `certificate is not proved to be in log "${key.name}": ${known.detail}`;
      return denial('ERR_PEER_LOG_SILENT', detail, fields);
    }
    this.#noteLetIn(known, fields);
    return undefined;
  }

  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /** For the status page. */
  report(): Readonly<Record<string, unknown>> {
    const { key, onSilence } = this.#options;
    const count = (state: Known['state']) =>
      [...this.#known.values()].filter((each) => each.state === state).length;
    return {
      log: key.name,
      treeSize: this.#treeSize,
      proved: count('proved'),
      refused: count('unlogged'),
      onSilence: onSilence === allowUnproved ? 'allow' : 'refuse',
      ...(onSilence === allowUnproved && { letInUnproved: this.#letIn.size }),
      ...(this.#failure !== undefined && { failure: this.#failure }),
    };
  }

  stop(): void {
    this.#stopping.abort();
  }

  #knownOf(peer: VerifiedPeer): Known {
    const found = this.#known.get(peer.fingerprint);
    const known = found ?? unasked(peer);
    if (found !== undefined) this.#known.delete(peer.fingerprint);
    this.#known.set(peer.fingerprint, known);
    this.#ofPeer.set(peer, known);
    if (this.#known.size > this.#options.capacity) {
      const oldest = this.#known.keys().next();
      if (oldest.done !== true) this.#known.delete(oldest.value);
    }
    return known;
  }

  #ask(known: Known): void {
    known.askedAt = this.#options.clock.monotonic();
    known.pending = this.#lookUp(known).finally(() => {
      known.pending = undefined;
    });
  }

  async #lookUp(known: Known): Promise<void> {
    if (this.#underWay >= lookUpsAtOnce) {
      await new Promise<void>((resolve) => this.#queue.push(resolve));
    }
    this.#underWay += 1;
    try {
      this.#settle(known, await this.#prove(known));
    } finally {
      this.#underWay -= 1;
      this.#queue.shift()?.();
    }
  }

  async #prove(known: Known): Promise<Pick<Known, 'state' | 'detail'>> {
    const { authority, key } = this.#options;
    const { signal } = this.#stopping;
    // It would be refused as a question, which is no answer about the log.
    if (!serialRule.pattern.test(known.serialHex)) {
      const detail = `serial "${known.serialHex}" is none that an authority gives`;
      return { state: 'unlogged', detail };
    }
    try {
      const proof = await authority.logProof(known.serialHex, { signal });
      const proved = verifyLogged(known.der, proof, key);
      if (!proved.ok) return { state: 'unlogged', detail: proved.detail };
      this.#treeSize = Math.max(this.#treeSize, proved.checkpoint.size);
      return { state: 'proved', detail: '' };
    } catch (thrown) {
      const isUnknown = thrown instanceof CountersignError && thrown.code === unknownToLedger;
      return { state: isUnknown ? 'unlogged' : 'silent', detail: messageOf(thrown) };
    }
  }

  #settle(known: Known, { state, detail }: Pick<Known, 'state' | 'detail'>): void {
    if (this.#stopping.signal.aborted) return;
    Object.assign(known, { state, detail });
    this.#proofs.add(1, { result: state });
    this.#heard(state === 'silent' ? detail : undefined);
    if (state !== 'silent') this.#letIn.delete(known);
    // Let in while the log was silent, and now known not to be in it: whoever holds it is asked about again.
    const isNews = known.isLetIn && state === 'unlogged';
    if (state !== 'silent') known.isLetIn = false;
    if (isNews) this.#changes.notify();
  }

  /** Each turn is told once. */
  #heard(failure: string | undefined): void {
    const { log, key } = this.#options;
    const wasSilent = this.#failure !== undefined;
    this.#failure = failure;
    this.#silent.set(failure === undefined ? 0 : 1);
    const fields = { log: key.name };
    if (failure !== undefined && !wasSilent)
      log.error(fields, `issuance log is silent: ${failure}`);
    if (failure === undefined && wasSilent) log.info(fields, 'issuance log answers again');
  }

  #noteLetIn(known: Known, fields: object): void {
    if (known.isLetIn) return;
    known.isLetIn = true;
    if (this.#letIn.size < this.#options.capacity) this.#letIn.add(known);
    this.#proofs.add(1, { result: 'let in' });
    this.#options.log.warn({ ...fields }, `let in without proof of its issue: ${known.detail}`);
  }

  async #waitFor(pending: Promise<void>): Promise<void> {
    const { clock, waitMs } = this.#options;
    const startedAt = clock.monotonic();
    const over = new AbortController();
    const bound = clock.sleep(waitMs, { signal: over.signal, ref: false }).catch(() => {});
    await Promise.race([pending, bound]);
    over.abort();
    this.#waited.observe((clock.monotonic() - startedAt) / 1000);
  }

  async #retryForEver(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#options.clock.sleep(retryEveryMs, { signal, ref: false }).catch(() => {});
      for (const known of this.#letIn) if (known.pending === undefined) this.#ask(known);
    }
  }
}

function unasked({ leaf }: VerifiedPeer): Known {
  return {
    ...{ state: 'unasked', detail: 'no answer in time', askedAt: Number.NEGATIVE_INFINITY },
    ...{ pending: undefined, isLetIn: false, serialHex: leaf.serialHex, der: leaf.raw },
  };
}

const metrics = {
  proofs: {
    name: 'countersign_log_proofs_total',
    help: 'Look-ups of peer certificates in the issuance log, by result; and peers let in while it was silent.',
    labels: ['result'],
  },
  waited: {
    name: 'countersign_log_proof_wait_seconds',
    help: 'How long admissions waited for the proof of a certificate.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  },
  silent: {
    name: 'countersign_log_silent',
    help: 'Whether the last look-up in the issuance log got no answer.',
  },
} as const;
