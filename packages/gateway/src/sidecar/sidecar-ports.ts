import type { MtlsMode } from '@countersign/authz';
import { type Clock, CountersignError, type Log } from '@countersign/base';
import { isAnonymous } from '@countersign/mtls';
import { inboundName } from './compile-sidecar.ts';
import type { MixedPorts, SeenConnection } from './mixed-ports.ts';
import { type Enforcement, emptyRecord, type PortRecord } from './port-record.ts';

/** By the name of its listener: what a port takes, and who says so. */
export type PortModes = ReadonlyMap<string, { readonly mode: MtlsMode; readonly by: string }>;

export interface SidecarPortsOptions {
  readonly ports: readonly number[];
  readonly modes: PortModes;
  /** What was seen of them before. */
  readonly records?: ReadonlyMap<number, PortRecord>;
  /** A mode has changed: who is connected is asked about again. */
  readonly onSwitch: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** How a port stands on its way from PERMISSIVE to STRICT. */
export interface PortReadiness {
  readonly port: number;
  readonly mode: MtlsMode;
  /** Who says so: a PeerAuthentication, sidecar.yaml, or `enforce`. */
  readonly by: string;
  /** Whether STRICT would refuse nobody who was seen lately. */
  readonly isSafe: boolean;
  readonly reason: string;
  readonly watchedMs: number;
  readonly quietMs: number;
  readonly mtls: number;
  readonly plaintext: number;
  /** Who came in plaintext, the latest first. */
  readonly callers: readonly PlaintextCaller[];
  readonly forgotten: number;
  readonly enforcement?: Enforcement | undefined;
}

export interface PlaintextCaller {
  readonly address: string;
  /** SPIFFE IDs that were seen from the same address over mTLS: a program of that machine has an identity already. */
  readonly names: readonly string[];
  readonly count: number;
  readonly refused: number;
  readonly firstAt: number;
  readonly lastAt: number;
}

const mostCallers = 1000;
const mostAddresses = 4096;
const mostNames = 4;

/**
 * What each inbound port takes now, who came to it how, and whether it can be STRICT. A port on trial is STRICT until
 * more connections in plaintext were refused than its budget, within its window; then it is PERMISSIVE again.
 */
export class SidecarPorts implements MixedPorts {
  readonly #options: SidecarPortsOptions;
  readonly #ports: ReadonlyMap<string, number>;
  readonly #records: Map<number, PortRecord>;
  /** Only of this run: a name is not proved by an address. */
  readonly #names = new Map<string, Set<string>>();
  #modes: PortModes;
  #countedAt: number;

  constructor(options: SidecarPortsOptions) {
    this.#options = options;
    this.#ports = new Map(options.ports.map((port) => [inboundName(port), port]));
    const known = options.records ?? new Map<number, PortRecord>();
    this.#records = new Map(options.ports.map((port) => [port, known.get(port) ?? emptyRecord()]));
    this.#modes = options.modes;
    this.#countedAt = options.clock.monotonic();
  }

  modeOf(listener: string): MtlsMode {
    return this.#said(listener).mode;
  }

  seen(listener: string, { address, peer, isRefused }: SeenConnection): void {
    const record = this.#recordAt(this.#ports.get(listener));
    if (record === undefined) return;
    if (peer !== 'plaintext') {
      record.mtls += 1;
      if (!isAnonymous(peer)) this.#learn(address, peer.spiffeId?.toString());
      return;
    }
    this.#count();
    record.plaintext += 1;
    record.quietMs = 0;
    this.#remember(record, address, isRefused);
    if (isRefused) this.#spend(listener, record);
  }

  /** A reload's modes. What `enforce` said stays, until it is undone. */
  configure(modes: PortModes): void {
    this.#modes = modes;
  }

  /** @param neededMs how long nobody may have come in plaintext for a port to be safe */
  report(neededMs = usualQuietMs): readonly PortReadiness[] {
    this.#count();
    return [...this.#ports].map(([listener, port]) => {
      const record = this.#recordAt(port) ?? emptyRecord();
      const { callers, ...counted } = record;
      this.#conclude(port, record);
      const { mode, by } = this.#said(listener);
      return {
        ...{ port, mode, by, ...judge(record, mode, neededMs), ...counted },
        callers: callers
          .toSorted((a, b) => b.lastAt - a.lastAt)
          .map((each) => ({ ...each, names: [...(this.#names.get(each.address) ?? [])] })),
      };
    });
  }

  /**
   * Puts a port that is PERMISSIVE on trial as STRICT.
   *
   * @throws CountersignError ERR_SIDECAR_PORT
   */
  enforce(port: number, { budget, windowMs }: Pick<Enforcement, 'budget' | 'windowMs'>): void {
    const record = this.#require(port);
    const { mode, by } = this.#configured(inboundName(port));
    if (mode !== 'PERMISSIVE') {
      const detail = `port ${port} is ${mode} by ${by}, only a PERMISSIVE one is put on trial`;
      throw new CountersignError('ERR_SIDECAR_PORT', detail, { fields: { port, mode } });
    }
    const startedAt = this.#options.clock.now();
    record.enforcement = { state: 'watched', startedAt, windowMs, budget, refused: 0 };
    this.#options.log.info({ port, budget, windowMs }, 'port is STRICT on trial');
    this.#options.onSwitch();
  }

  /** Back to what the configuration says. @throws CountersignError ERR_SIDECAR_PORT */
  undo(port: number): void {
    const record = this.#require(port);
    delete record.enforcement;
    this.#options.log.info({ port }, 'port is as configured again');
    this.#options.onSwitch();
  }

  /** To be kept. */
  records(): ReadonlyMap<number, PortRecord> {
    this.#count();
    for (const [port, record] of this.#records) this.#conclude(port, record);
    return this.#records;
  }

  #configured(listener: string) {
    return this.#modes.get(listener) ?? { mode: 'STRICT' as const, by: 'nobody' };
  }

  #said(listener: string): { readonly mode: MtlsMode; readonly by: string } {
    const configured = this.#configured(listener);
    const { enforcement } = this.#recordAt(this.#ports.get(listener)) ?? {};
    const isEnforced = enforcement !== undefined && enforcement.state !== 'rolled-back';
    if (!isEnforced || configured.mode !== 'PERMISSIVE') return configured;
    return { mode: 'STRICT', by: 'enforce' };
  }

  #spend(listener: string, record: PortRecord): void {
    const port = this.#ports.get(listener) ?? 0;
    this.#conclude(port, record);
    const { enforcement } = record;
    if (enforcement?.state !== 'watched') return;
    enforcement.refused += 1;
    if (enforcement.refused <= enforcement.budget) return;
    enforcement.state = 'rolled-back';
    enforcement.endedAt = this.#options.clock.now();
    const { refused, budget } = enforcement;
    this.#options.log.error(
      { port, refused, budget },
      `port is PERMISSIVE again: ${refused} connections in plaintext were refused, the budget is ${budget}`,
    );
    this.#options.onSwitch();
  }

  /** A trial whose window is over went well. */
  #conclude(port: number, { enforcement }: PortRecord): void {
    if (enforcement?.state !== 'watched') return;
    const end = enforcement.startedAt + enforcement.windowMs;
    if (this.#options.clock.now() < end) return;
    enforcement.state = 'kept';
    enforcement.endedAt = end;
    const { refused, budget } = enforcement;
    this.#options.log.info({ port, refused, budget }, 'port stays STRICT, the trial is over');
  }

  #remember(record: PortRecord, address: string, isRefused: boolean): void {
    const now = this.#options.clock.now();
    const known = record.callers.find((each) => each.address === address);
    if (known !== undefined) {
      known.count += 1;
      known.refused += isRefused ? 1 : 0;
      known.lastAt = now;
      return;
    }
    if (record.callers.length >= mostCallers) {
      const oldest = record.callers.reduce((a, b) => (b.lastAt < a.lastAt ? b : a));
      record.callers.splice(record.callers.indexOf(oldest), 1);
      record.forgotten += 1;
    }
    const refused = isRefused ? 1 : 0;
    record.callers.push({ address, count: 1, refused, firstAt: now, lastAt: now });
  }

  #learn(address: string, name: string | undefined): void {
    if (name === undefined) return;
    const known = this.#names.get(address) ?? new Set();
    if (known.size === 0 && this.#names.size >= mostAddresses) return;
    if (known.size < mostNames) known.add(name);
    this.#names.set(address, known);
  }

  /** Time passes for every port alike. */
  #count(): void {
    const now = this.#options.clock.monotonic();
    const passed = Math.round(now - this.#countedAt);
    if (passed <= 0) return;
    this.#countedAt = now;
    for (const record of this.#records.values()) {
      record.watchedMs += passed;
      record.quietMs += passed;
    }
  }

  #recordAt(port: number | undefined): PortRecord | undefined {
    return port === undefined ? undefined : this.#records.get(port);
  }

  #require(port: number): PortRecord {
    const record = this.#records.get(port);
    if (record !== undefined) return record;
    const known = [...this.#records.keys()].join(', ') || 'none';
    const message = `no inbound port ${port}, there are ${known}`;
    throw new CountersignError('ERR_SIDECAR_PORT', message, { fields: { port } });
  }
}

export const usualQuietMs = 24 * 3_600_000;

function judge({ quietMs }: PortRecord, mode: MtlsMode, neededMs: number) {
  if (mode === 'STRICT') return { isSafe: true, reason: 'it is STRICT already' };
  if (mode === 'DISABLE') return { isSafe: false, reason: 'it takes plaintext alone (DISABLE)' };
  const hours = (ms: number) => `${(ms / 3_600_000).toFixed(1)} h`;
  if (quietMs >= neededMs) return { isSafe: true, reason: `no plaintext for ${hours(quietMs)}` };
  const reason = `plaintext, or not watched, within the last ${hours(neededMs)}: quiet for ${hours(quietMs)}`;
  return { isSafe: false, reason };
}
