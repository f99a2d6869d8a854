import type { Socket } from 'node:net';
import type { Clock, Counter, Denial, ErrorCode, Gauge, Log, Meter } from '@countersign/base';
import {
  type HandshakeFacts,
  isAnonymous,
  type LiveConnection,
  type PeerOf,
} from './live-connection.ts';

/** Which connections a question concerns; without a field, all. Several fields must all match. */
export interface ConnectionScope {
  readonly spiffeId?: string;
  /** Lowercase hexadecimal, as in `Certificate.serialHex`. */
  readonly serialHex?: string;
}

/** What a re-ask did. */
export interface CutReport {
  readonly closed: number;
  readonly kept: number;
  readonly elapsedMs: number;
  /** How many were closed for which reason. */
  readonly codes: Readonly<Partial<Record<ErrorCode, number>>>;
}

/** The answer of the one who is re-asked. */
export type StillAllowed = { readonly ok: true } | Denial;

/** A report of several registries together, as one. */
export function addReports(...reports: readonly CutReport[]): CutReport {
  const codes: Partial<Record<ErrorCode, number>> = {};
  let closed = 0;
  let kept = 0;
  let elapsedMs = 0;
  for (const report of reports) {
    closed += report.closed;
    kept += report.kept;
    elapsedMs += report.elapsedMs;
    for (const [code, count] of Object.entries(report.codes) as [ErrorCode, number][]) {
      codes[code] = (codes[code] ?? 0) + count;
    }
  }
  return { closed, kept, elapsedMs, codes };
}

/**
 * Every connection that is open, indexed by SPIFFE ID and serial number, so that what a new fact concerns is found
 * without looking at the others. A connection leaves by itself when its socket closes.
 */
export class LiveConnections {
  readonly #all = new Set<LiveConnection>();
  readonly #bySpiffeId = new Map<string, Set<LiveConnection>>();
  readonly #bySerial = new Map<string, Set<LiveConnection>>();
  readonly #labels: { readonly listener: string };
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #active: Gauge;
  readonly #cuts: Counter;
  #nextId = 1;
  #whenEmpty: (() => void)[] = [];

  /** @param options.name the `listener` label of the metrics */
  constructor(options: {
    readonly name: string;
    readonly clock: Clock;
    readonly log: Log;
    readonly meter: Meter;
  }) {
    this.#labels = { listener: options.name };
    this.#clock = options.clock;
    this.#log = options.log;
    this.#active = options.meter.gauge({
      name: 'countersign_active_connections',
      help: 'Open connections whose peer passed its checks.',
      labels: ['listener'],
    });
    this.#cuts = options.meter.counter({
      name: 'countersign_cut_connections_total',
      help: 'Established connections that were destroyed because a fact about their peer changed.',
      labels: ['listener', 'reason'],
    });
    this.#active.set(0, this.#labels);
  }

  /** Takes over an established socket whose peer passed its checks. */
  add(socket: Socket, peer: PeerOf, facts: HandshakeFacts): LiveConnection {
    const connection: LiveConnection = {
      id: this.#nextId,
      peer,
      facts,
      socket,
      openedAt: this.#clock.now(),
      cut: (reason) => void this.#cut(connection, reason),
    };
    this.#nextId += 1;
    this.#all.add(connection);
    for (const set of this.#indexesOf(peer)) set.add(connection);
    socket.once('close', () => this.#forget(connection));
    // closed before now: no event comes any more
    if (socket.closed) this.#forget(connection);
    this.#active.set(this.#all.size, this.#labels);
    return connection;
  }

  count(scope: ConnectionScope = {}): number {
    return this.#within(scope).length;
  }

  [Symbol.iterator](): IterableIterator<LiveConnection> {
    return this.#all.values();
  }

  /**
   * Asks `ask` about every connection of the scope and destroys those that are no longer allowed, all in one turn.
   * What `ask` throws counts as a refusal: fail closed.
   */
  reask(ask: (connection: LiveConnection) => StillAllowed, scope: ConnectionScope = {}): CutReport {
    const startedAt = this.#clock.monotonic();
    const codes: Partial<Record<ErrorCode, number>> = {};
    let closed = 0;
    let kept = 0;
    for (const connection of this.#within(scope)) {
      const answer = this.#answerOf(ask, connection);
      if (answer.ok) {
        kept += 1;
        continue;
      }
      if (!this.#cut(connection, answer)) continue;
      closed += 1;
      codes[answer.code] = (codes[answer.code] ?? 0) + 1;
    }
    return { closed, kept, elapsedMs: this.#clock.monotonic() - startedAt, codes };
  }

  /** Resolves once no connection is open; at once if none is. */
  async empty(): Promise<void> {
    if (this.#all.size === 0) return;
    await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
  }

  /** Destroys what is left, as the end of a shutdown. Not counted as cut. */
  destroyAll(): number {
    const left = [...this.#all];
    for (const connection of left) connection.socket.destroy();
    return left.length;
  }

  #answerOf(
    ask: (connection: LiveConnection) => StillAllowed,
    connection: LiveConnection,
  ): StillAllowed {
    try {
      return ask(connection);
    } catch (thrown) {
      const detail = thrown instanceof Error ? thrown.message : String(thrown);
      this.#log.error(
        { connection: connection.id, err: thrown },
        're-asking failed, connection refused',
      );
      return { ok: false, code: 'ERR_INTERNAL', detail, fields: {} };
    }
  }

  /** @returns whether it was open until now */
  #cut(connection: LiveConnection, reason: Denial): boolean {
    if (connection.socket.destroyed) return false;
    connection.socket.destroy();
    this.#forget(connection);
    this.#cuts.add(1, { ...this.#labels, reason: reason.code });
    this.#log.warn(
      {
        connection: connection.id,
        ...describePeer(connection.peer),
        code: reason.code,
        ...reason.fields,
      },
      `connection cut: ${reason.detail}`,
    );
    return true;
  }

  #within(scope: ConnectionScope): LiveConnection[] {
    const sets: Iterable<LiveConnection>[] = [];
    if (scope.spiffeId !== undefined) sets.push(this.#bySpiffeId.get(scope.spiffeId) ?? []);
    if (scope.serialHex !== undefined) sets.push(this.#bySerial.get(scope.serialHex) ?? []);
    const [first, ...others] = sets;
    if (first === undefined) return [...this.#all];
    const rest = others.map((set) => new Set(set));
    return [...first].filter((connection) => rest.every((set) => set.has(connection)));
  }

  #indexesOf(peer: PeerOf): Set<LiveConnection>[] {
    if (isAnonymous(peer)) return [];
    const bySerial = setAt(this.#bySerial, peer.serialHex);
    if (peer.spiffeId === undefined) return [bySerial];
    return [bySerial, setAt(this.#bySpiffeId, peer.spiffeId.toString())];
  }

  #forget(connection: LiveConnection): void {
    if (!this.#all.delete(connection)) return;
    this.#active.set(this.#all.size, this.#labels);
    const { peer } = connection;
    if (!isAnonymous(peer)) {
      removeAt(this.#bySerial, peer.serialHex, connection);
      if (peer.spiffeId !== undefined)
        removeAt(this.#bySpiffeId, peer.spiffeId.toString(), connection);
    }
    if (this.#all.size > 0) return;
    const waiting = this.#whenEmpty;
    this.#whenEmpty = [];
    for (const resolve of waiting) resolve();
  }
}

/** Log fields that name a peer. */
export function describePeer(peer: PeerOf): Readonly<Record<string, string>> {
  if (isAnonymous(peer)) return describedAnonymous;
  const known = described.get(peer);
  if (known !== undefined) return known;
  const fields = {
    peer: peer.spiffeId?.toString() ?? 'no SPIFFE ID',
    serial: peer.serialHex,
    fingerprint: peer.fingerprint,
  };
  described.set(peer, fields);
  return fields;
}

const describedAnonymous = { peer: 'anonymous' };
/** A peer never changes, and is logged with every request. */
const described = new WeakMap<PeerOf, Readonly<Record<string, string>>>();

function setAt<T>(index: Map<string, Set<T>>, key: string): Set<T> {
  const known = index.get(key);
  if (known !== undefined) return known;
  const fresh = new Set<T>();
  index.set(key, fresh);
  return fresh;
}

function removeAt<T>(index: Map<string, Set<T>>, key: string, value: T): void {
  const set = index.get(key);
  if (set === undefined) return;
  set.delete(value);
  if (set.size === 0) index.delete(key);
}
