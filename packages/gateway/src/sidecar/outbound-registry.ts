import { isIP } from 'node:net';
import { type Clock, type Log, messageOf } from '@countersign/base';
import { withinNetworks } from '../listener-config.ts';
import type { OutboundDestination, OutboundModel } from './outbound-model.ts';

export interface OutboundRegistryOptions {
  readonly resolve: (host: string) => Promise<readonly string[]>;
  readonly clock: Clock;
  readonly log: Log;
}

const refreshMs = 30_000;

/** Which destination of the configuration an application means, by name or by the address that its name stands for. */
export class OutboundRegistry {
  readonly model: OutboundModel;
  readonly #byHost = new Map<string, OutboundDestination>();
  readonly #networks: readonly {
    readonly isIn: (address: string) => boolean;
    readonly destination: OutboundDestination;
  }[];
  #byAddress: ReadonlyMap<string, OutboundDestination> = new Map();
  readonly #options: OutboundRegistryOptions;
  readonly #stopping = new AbortController();

  constructor(model: OutboundModel, options: OutboundRegistryOptions) {
    this.model = model;
    this.#options = options;
    for (const destination of model.destinations) {
      for (const { host, port } of destination.hosts) {
        const key = keyOf(host, port);
        if (!this.#byHost.has(key)) this.#byHost.set(key, destination);
      }
    }
    this.#networks = model.destinations.map((destination) => ({
      isIn: withinNetworks(destination.networks.map(asNetwork)),
      destination,
    }));
  }

  /** @param host as called, IPv6 with or without brackets */
  byHost(host: string, port: number): OutboundDestination | undefined {
    return this.#byHost.get(keyOf(host.replace(/^\[(.*)\]$/, '$1'), port));
  }

  byAddress(address: string, port: number): OutboundDestination | undefined {
    const named =
      this.#byHost.get(keyOf(address, port)) ?? this.#byAddress.get(keyOf(address, port));
    if (named !== undefined) return named;
    return this.#networks.find(
      ({ isIn, destination }) =>
        destination.hosts.some((each) => each.port === port) && isIn(address),
    )?.destination;
  }

  /** Looks the names up, now and again; resolves after the first time. */
  async follow(): Promise<void> {
    await this.#look();
    void this.#lookAgain();
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #lookAgain(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#options.clock.sleep(refreshMs, { signal, ref: false }).catch(() => {});
      if (!signal.aborted) await this.#look();
    }
  }

  /** A name that cannot be looked up keeps the addresses that were found before. */
  async #look(): Promise<void> {
    const found = new Map(this.#byAddress);
    const named = this.model.destinations.flatMap((destination) =>
      destination.hosts
        .filter(({ host }) => isIP(host) === 0)
        .map(({ host, port }) => ({ host, port, destination })),
    );
    const { resolve, log } = this.#options;
    await Promise.all(
      named.map(async ({ host, port, destination }) => {
        try {
          const addresses = await resolve(host);
          for (const [key, of] of found) if (of === destination) found.delete(key);
          for (const address of addresses) found.set(keyOf(address, port), destination);
        } catch (thrown) {
          log.debug({ host, reason: messageOf(thrown) }, 'destination has no address');
        }
      }),
    );
    this.#byAddress = found;
  }
}

function keyOf(host: string, port: number): string {
  return `${host.toLowerCase().replace(/\.$/, '')} ${port}`;
}

function asNetwork(text: string): string {
  return text.includes('/') ? text : `${text}/${isIP(text) === 6 ? 128 : 32}`;
}
