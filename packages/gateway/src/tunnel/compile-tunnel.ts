import type { ClusterModel, PeerExpectation, PeerPattern } from '../model/cluster-model.ts';
import type { IdentityModel, TrustModel } from '../model/credential-model.ts';
import type { GatewayModel } from '../model/gateway-model.ts';
import type { ChainModel } from '../model/listener-model.ts';
import type { HostAddress, TunnelAddress } from './tunnel-address.ts';

/** One listener and one target: mTLS on one side, clear text on the other. */
export interface TunnelWish {
  readonly listen: TunnelAddress;
  readonly target: TunnelAddress;
  /** For the connection to the target, its handshake included. */
  readonly connectTimeoutMs: number;
  /** How long one side may go on after the other has said its last. */
  readonly closeTimeoutMs: number;
  /** Of a connection; undefined: for ever. */
  readonly maxLifetimeMs: number | undefined;
  /** Of files, beside an identity of our own; its name is `tunnel`. */
  readonly identity?: IdentityModel;
  /** Of files, beside the bundle of an identity of our own; its name is `tunnel`. */
  readonly trust?: TrustModel;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
}

export interface TunnelServerWish extends TunnelWish {
  readonly listen: HostAddress;
  /** Who may connect: anybody, whoever has a certificate that is vouched for, or whom one of the patterns is for. */
  readonly clients: 'anybody' | 'verified' | readonly PeerPattern[];
  readonly proxyProtocol?: ClusterModel['proxyProtocol'];
}

export interface TunnelClientWish extends TunnelWish {
  readonly target: HostAddress;
  /** Whether a certificate is shown. */
  readonly shows: boolean;
  /** SNI, and the name that the server must have where `checksName` is set; that of the target unless given. */
  readonly serverName: string | undefined;
  readonly checksName: boolean;
  /** Any of these must be for the server; none: whoever has the name. */
  readonly servers: readonly PeerPattern[];
}

/** A tunnel as a gateway serves it: whoever comes by mTLS is passed on in clear text. */
export function compileTunnelServer(wish: TunnelServerWish): GatewayModel {
  const { listen, clients, target, proxyProtocol, minVersion } = wish;
  const chain: ChainModel = {
    ...usualChain,
    tls: {
      clientAuth: clients === 'anybody' ? 'none' : 'require',
      ...credentialsOf(wish),
      ...(typeof clients !== 'string' && { expect: { patterns: clients } }),
      minVersion,
    },
  };
  const cluster = { ...clusterOf(wish, target), ...(proxyProtocol && { proxyProtocol }) };
  return modelOf(wish, { address: listen.host, port: listen.port }, chain, cluster);
}

/** The other end of it: what comes in clear text is passed on by mTLS. */
export function compileTunnelClient(wish: TunnelClientWish): GatewayModel {
  const { listen, target, shows, serverName, minVersion } = wish;
  const { identity, trust } = credentialsOf(wish);
  const tls = {
    ...{ identity: shows ? identity : ('none' as const), trust, minVersion },
    ...(serverName !== undefined && { serverName }),
    expect: expectationOf(wish),
  };
  const at =
    'path' in listen
      ? { address: '', port: 0, path: listen.path }
      : { address: listen.host, port: listen.port };
  return modelOf(wish, at, usualChain, { ...clusterOf(wish, target), tls });
}

const usualChain: ChainModel = {
  ...{ name: 'tunnel', serverNames: [], protocol: 'tcp', cluster: 'target' },
};

function expectationOf({ servers, checksName, serverName }: TunnelClientWish): PeerExpectation {
  const patterns = servers.length > 0 && { patterns: servers };
  if (!checksName) return { ...patterns };
  if (serverName === undefined) return { ...patterns, dialledName: true };
  return { ...patterns, names: [{ value: { kind: 'exact', text: serverName } }] };
}

function credentialsOf({ identity, trust }: TunnelWish) {
  return {
    identity: identity === undefined ? ('own' as const) : { name: identity.name },
    trust: trust === undefined ? ('own' as const) : { name: trust.name },
  };
}

function clusterOf(wish: TunnelWish, target: TunnelAddress): ClusterModel {
  const { connectTimeoutMs, closeTimeoutMs, maxLifetimeMs } = wish;
  // Of a socket in a file only its path is asked for.
  const at = 'path' in target ? { host: 'localhost', port: 1, path: target.path } : target;
  return {
    ...{ name: 'target', endpoints: [{ ...at, weight: 1 }], discovery: 'name', dnsRefreshMs: 0 },
    ...{ balancing: 'round-robin', connectTimeoutMs, headersTimeoutMs: 0, idleTimeoutMs: 0 },
    ...{ maxConnections: 65_536, limits: { maxRequests: 65_536, maxRetries: 0 } },
    ...{ closeTimeoutMs, ...(maxLifetimeMs !== undefined && { maxLifetimeMs }) },
  };
}

function modelOf(
  { identity, trust }: TunnelWish,
  at: { readonly address: string; readonly port: number; readonly path?: string },
  chain: ChainModel,
  cluster: ClusterModel,
): GatewayModel {
  return {
    listeners: [{ name: 'tunnel', ...at, chains: [chain] }],
    ...{ tables: [], clusters: [cluster] },
    identities: identity === undefined ? [] : [identity],
    trusts: trust === undefined ? [] : [trust],
  };
}
