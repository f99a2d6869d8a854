import type { Clock, Log } from '@countersign/base';
import { messageOf } from '@countersign/base';
import { type Gateway, type GatewayOptions, startGateway } from '../start-gateway.ts';
import { type ControlServer, startControlServer } from './control-socket.ts';
import { readPortRecords, writePortRecords } from './port-record.ts';
import { type PortModes, SidecarPorts } from './sidecar-ports.ts';

export interface SidecarOptions extends GatewayOptions {
  /** The application's, that have a listener. */
  readonly inboundPorts: readonly number[];
  /** As configured now; asked again at each reload. */
  readonly modes: () => PortModes;
  /** Where what was seen of the ports is kept, and the control socket stands; absent: neither. */
  readonly data?: string | undefined;
}

/** What was seen since is lost in a crash; what was decided is written at once. */
const saveEveryMs = 10_000;

/**
 * A gateway beside an application: before its ports, and for what it asks. Ports → gateway → control socket.
 *
 * @throws CountersignError as `startGateway`, ERR_FILE, ERR_LISTEN
 */
export async function startSidecar(options: SidecarOptions): Promise<Gateway> {
  const { inboundPorts, modes, data, clock, log } = options;
  let gateway: Gateway | undefined;
  const ports = new SidecarPorts({
    ...{ ports: inboundPorts, modes: modes(), clock, log },
    ...(data !== undefined && { records: await readPortRecords(data) }),
    // Not within what asks: a connection that is just being refused is no reason to re-enter.
    onSwitch: () => queueMicrotask(() => gateway?.recheck()),
  });
  const running = await startGateway({ ...options, mixedPorts: ports });
  gateway = running;
  const saving = data === undefined ? undefined : new Saving(ports, data, { clock, log });
  let control: ControlServer | undefined;
  try {
    control =
      data === undefined
        ? undefined
        : await startControlServer(data, ports, { log, saved: async () => saving?.save() });
  } catch (thrown) {
    await running.close();
    throw thrown;
  }
  return {
    ...running,
    reload(next) {
      const report = running.reload(next);
      ports.configure(modes());
      return addUp(report, running.recheck());
    },
    async close() {
      await control?.close();
      await running.close();
      await saving?.stop();
    },
  };
}

function addUp(a: ReturnType<Gateway['recheck']>, b: ReturnType<Gateway['recheck']>) {
  return { ...b, closed: a.closed + b.closed, codes: { ...a.codes, ...b.codes } };
}

/** Writes what was seen, one write after the other. */
class Saving {
  readonly #ports: SidecarPorts;
  readonly #data: string;
  readonly #log: Log;
  readonly #over = new AbortController();
  #last: Promise<void> = Promise.resolve();

  constructor(ports: SidecarPorts, data: string, { clock, log }: { clock: Clock; log: Log }) {
    this.#ports = ports;
    this.#data = data;
    this.#log = log;
    void this.#run(clock);
  }

  save(): Promise<void> {
    this.#last = this.#last
      .then(() => writePortRecords(this.#data, this.#ports.records()))
      .catch((thrown) => this.#log.error({ reason: messageOf(thrown) }, 'ports are not written'));
    return this.#last;
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await this.save();
  }

  async #run(clock: Clock): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      await clock.sleep(saveEveryMs, { signal, ref: false }).catch(() => {});
      if (!signal.aborted) await this.save();
    }
  }
}
