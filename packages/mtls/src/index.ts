export { type AcmeAlpnOptions, type AlpnAnswer, serveAcmeAlpn } from './acme-alpn-server.ts';
export { ChainMemory } from './chain-memory.ts';
export { type Dialled, type DialOptions, dialMtls, dialUnjudged } from './dial-mtls.ts';
export { type ExpectPeer, expectName, expectSpiffeId } from './expect-peer.ts';
export {
  beginsTls,
  type FirstOctets,
  type FirstOctetsOptions,
  firstOctets,
} from './first-octets.ts';
export {
  createMtlsListener,
  type MtlsListener,
  type MtlsListenerOptions,
} from './listener.ts';
export type { ListenerChain } from './listener-chains.ts';
export {
  type Anonymous,
  anonymous,
  type HandshakeFacts,
  isAnonymous,
  type LiveConnection,
  type PeerOf,
} from './live-connection.ts';
export {
  addReports,
  type ConnectionScope,
  type CutReport,
  describePeer,
  LiveConnections,
  type StillAllowed,
} from './live-connections.ts';
export {
  type ConnectorCallback,
  type ConnectorRequest,
  type MtlsConnectorOptions,
  mtlsConnector,
} from './mtls-connector.ts';
export {
  formatProxyHeader,
  type ProxiedTls,
  type ProxyHeader,
  parseProxyHeader,
} from './proxy-header.ts';
export { followChanges } from './source-changes.ts';
export { type AnchorQuestion, stillAnchored } from './still-anchored.ts';
export {
  describeIdentity,
  type IdentitySource,
  readTlsIdentity,
  type TlsIdentity,
} from './tls-certificate.ts';
export { clientContext, contextOptions } from './tls-identity.ts';
export {
  cipherSuites,
  httpAlpn,
  type TlsSuites,
  type TlsVersion,
  tlsPolicy,
} from './tls-policy.ts';
