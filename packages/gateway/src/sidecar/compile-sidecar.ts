import type { ClusterModel, EndpointModel } from '../model/cluster-model.ts';
import type { GatewayModel } from '../model/gateway-model.ts';
import type { ChainModel, ListenerModel } from '../model/listener-model.ts';
import type { RouteTableModel, VirtualHostModel } from '../model/route-model.ts';
import type { OutboundDestination } from './outbound-model.ts';
import type {
  DestinationConfig,
  InboundConfig,
  PortProtocol,
  WrittenSidecar,
} from './sidecar-schema.ts';

/** What sidecar.yaml means; it was checked before. */
export function compileSidecar({ inbound, outbound }: WrittenSidecar): GatewayModel {
  const listened = outbound.destinations.filter(({ listen }) => listen !== undefined);
  const { proxy, redirect, destinations } = outbound;
  const called = destinations.map(calledDestination);
  const listeners = [
    ...inbound.map(inboundListener),
    ...listened.map(outboundListener),
    ...(proxy === undefined ? [] : [proxyListener(proxy)]),
    ...(redirect === undefined ? [] : redirectListeners(redirect)),
  ];
  const isAsked = proxy !== undefined || redirect !== undefined;
  return {
    ...(isAsked && { outbound: { policy: outbound.policy, destinations: called } }),
    listeners: listeners as [ListenerModel, ...ListenerModel[]],
    tables: [
      ...inbound.filter(isHttp).map(({ port }) => tableTo(inboundName(port))),
      ...outbound.destinations.filter(isHttp).map(({ name }) => tableTo(outboundName(name))),
      ...(proxy === undefined ? [] : [proxyTable(called)]),
    ],
    clusters: [...inbound.map(appCluster), ...outbound.destinations.map(destinationCluster)],
    identities: [],
    trusts: [],
  };
}

/** Of the listener, its table and its cluster. */
export function inboundName(port: number): string {
  return `inbound-${port}`;
}

export function outboundName(destination: string): string {
  return `outbound-${destination}`;
}

function inboundListener({ port, protocol, listen, serverFirst }: InboundConfig): ListenerModel {
  const name = inboundName(port);
  const isTcp = protocol === 'tcp';
  return {
    ...{ name, ...listen },
    role: { kind: 'inbound', port, serverFirstMs: isTcp ? serverFirst : 0 },
    chains: [
      {
        ...chainTo(name, protocol),
        tls: { clientAuth: 'require', minVersion: 'TLSv1.2', identity: 'own', trust: 'own' },
      },
    ],
  };
}

function outboundListener({ name: destination, protocol, listen }: DestinationConfig) {
  const name = outboundName(destination);
  const { address = '127.0.0.1', port = 0 } = listen ?? {};
  const role = { kind: 'outbound' } as const;
  return { name, address, port, role, chains: [chainTo(name, protocol)] } as const;
}

const proxyName = 'proxy';

function proxyListener(listen: { readonly address: string; readonly port: number }): ListenerModel {
  const chain = { name: proxyName, serverNames: [], protocol: 'h1', table: proxyName } as const;
  return { name: proxyName, ...listen, role: { kind: 'proxy' }, chains: [chain] };
}

/** REDIRECT sends to the loopback address of its own version of IP. */
function redirectListeners({ port, ipv6 }: { readonly port: number; readonly ipv6: boolean }) {
  const addresses = ['127.0.0.1', ...(ipv6 ? ['::1'] : [])];
  return addresses.map((address): ListenerModel => {
    const name = address === '::1' ? 'redirected-ipv6' : 'redirected';
    const chain = { name, serverNames: [], protocol: 'auto', table: '' } as const;
    return { name, address, port, role: { kind: 'redirected' }, chains: [chain] };
  });
}

function calledDestination(written: DestinationConfig): OutboundDestination {
  const { name, protocol, hosts, addresses } = written;
  return {
    ...{ name: outboundName(name), protocol: protocol === 'tcp' ? 'tcp' : 'http' },
    hosts: hosts.map(endpointOf).map(({ host, port }) => ({ host: host.toLowerCase(), port })),
    networks: addresses,
  };
}

/** Each destination by the host that the application names, with its port. */
function proxyTable(destinations: readonly OutboundDestination[]): RouteTableModel {
  const ofHttp = destinations.filter(({ protocol }) => protocol === 'http');
  const hosts = ofHttp.flatMap(({ name, hosts: called }) => {
    const domains = called.flatMap(({ host, port }) => {
      const written = host.includes(':') ? `[${host}]` : host;
      return [`${written}:${port}`, ...(port === 80 ? [written] : [])];
    });
    return domains.length === 0 ? [] : [{ ...hostTo(name), domains }];
  });
  return { name: proxyName, hosts, comparesPorts: true };
}

function chainTo(name: string, protocol: PortProtocol): ChainModel {
  return protocol === 'tcp'
    ? { name, serverNames: [], protocol: 'tcp', cluster: name }
    : { name, serverNames: [], protocol: 'auto', table: name };
}

function isHttp({ protocol }: { readonly protocol: PortProtocol }): boolean {
  return protocol !== 'tcp';
}

/** Every request goes to the cluster of the same name. */
function tableTo(name: string): RouteTableModel {
  return { name, hosts: [{ ...hostTo(name), domains: ['*'] }] };
}

function hostTo(name: string): Pick<VirtualHostModel, 'name' | 'routes'> {
  const path = { kind: 'segments', text: '/', ignoreCase: false } as const;
  const action = { kind: 'forward', targets: [{ cluster: name, weight: 1 }] } as const;
  return { name, routes: [{ name, match: { path, headers: [], query: [] }, action }] };
}

type Times = Pick<InboundConfig, 'protocol' | 'connectTimeout' | 'timeout' | 'idleTimeout'>;

function appCluster({ port, app, ...times }: InboundConfig): ClusterModel {
  return clusterOf(inboundName(port), [{ host: app, port, weight: 1 }], times);
}

function destinationCluster(written: DestinationConfig): ClusterModel {
  const { name, upstream, spiffeId, ...times } = written;
  return {
    ...clusterOf(outboundName(name), [upstream].flat().map(endpointOf), times),
    tls: { identity: 'own', trust: 'own', expect: { spiffeIds: [spiffeId].flat() } },
  };
}

function clusterOf(
  name: string,
  endpoints: readonly EndpointModel[],
  { protocol, connectTimeout, timeout, idleTimeout }: Times,
): ClusterModel {
  return {
    ...{ name, endpoints, discovery: 'name', dnsRefreshMs: 0, balancing: 'round-robin' },
    ...((protocol === 'http2' || protocol === 'grpc') && { protocol: 'h2' as const }),
    ...{ connectTimeoutMs: connectTimeout, headersTimeoutMs: timeout, idleTimeoutMs: idleTimeout },
    maxConnections: 1024,
    limits: { maxRequests: Number.MAX_SAFE_INTEGER, maxRetries: 0 },
  };
}

export function endpointOf(text: string): EndpointModel {
  const at = text.lastIndexOf(':');
  const host = text.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  return { host, port: Number(text.slice(at + 1)), weight: 1 };
}
