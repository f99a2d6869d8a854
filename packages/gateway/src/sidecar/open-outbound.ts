import { networkInterfaces } from 'node:os';
import { createHttpFront, type HttpFrontOptions } from '../client/http-front.ts';
import type { GatewayModel } from '../model/gateway-model.ts';
import type { Session } from '../session.ts';
import { createForwardProxy, type ForwardProxyOptions } from './forward-proxy.ts';
import { openOriginalDestination } from './original-destination.ts';
import { OutboundRegistry } from './outbound-registry.ts';
import { OutboundWays, type OutboundWaysOptions } from './outbound-ways.ts';
import { isLoopback } from './sidecar-schema.ts';

export interface OutboundOptions
  extends Pick<OutboundWaysOptions, 'resolve' | 'onHttp' | 'clock' | 'log'>,
    Pick<ForwardProxyOptions, 'onTunnel'>,
    Pick<HttpFrontOptions, 'limits' | 'newId' | 'onExchange'> {}

/** What a sidecar does with connections of its application that name no port of its own. */
export interface Outbound {
  take(session: Session, by: 'proxy' | 'redirected'): void;
  /** A reload's destinations. */
  reload(model: GatewayModel): void;
  close(): void;
}

/**
 * Undefined where the model has no such listeners.
 *
 * @throws CountersignError ERR_SIDECAR_PLATFORM
 */
export async function openOutbound(
  { listeners, outbound }: GatewayModel,
  options: OutboundOptions,
): Promise<Outbound | undefined> {
  if (outbound === undefined) return undefined;
  const { resolve, onHttp, onTunnel, clock, log, limits, newId, onExchange } = options;
  const isRedirected = listeners.some(({ role }) => role?.kind === 'redirected');
  const looking = { resolve, clock, log };
  let registry = new OutboundRegistry(outbound, looking);
  if (isRedirected) await registry.follow();
  const ways = new OutboundWays({
    registry: () => registry,
    originalDestination: isRedirected ? await openOriginalDestination() : undefined,
    ...{ resolve, ownAddresses, onHttp, clock, log },
    onTunnel: (session, cluster) => onTunnel(session, cluster),
  });
  const proxy = createForwardProxy({ ways, onTunnel, clock, log });
  const front = createHttpFront({ limits, newId, onExchange, log, proxy });
  return {
    take(session, by) {
      const { socket, facts } = session.live;
      if (by === 'redirected') return void ways.takeRedirected(session);
      // Whoever is let in here speaks as this workload: the address of the listener is not trusted to see to it.
      if (isLoopback(facts.sourceAddress)) return void front.take(socket, session);
      const code = 'ERR_SIDECAR_ORIGIN';
      log.warn({ from: facts.sourceAddress, code }, 'refused: the proxy is for this machine alone');
      socket.destroy();
    },
    reload({ outbound: next }) {
      if (next === undefined) return;
      registry.stop();
      registry = new OutboundRegistry(next, looking);
      if (isRedirected) void registry.follow();
    },
    close() {
      registry.stop();
      front.close();
    },
  };
}

function ownAddresses(): ReadonlySet<string> {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return new Set(all.map(({ address }) => address));
}
