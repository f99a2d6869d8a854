export { type AdminServer, type AdminServerOptions, startAdminServer } from './admin-server.ts';
export type { BoundListener } from './client-listeners.ts';
export { type CompiledEnvoy, compileEnvoy } from './envoy/compile-envoy.ts';
export { isEnvoyBootstrap } from './envoy/envoy-document.ts';
export { type Exchange, type Forwarded, forward } from './forward.ts';
export {
  emptyModel,
  type GatewayConfig,
  type GatewayLimits,
  gatewayConfigOf,
  parseGatewayConfig,
  withFirstPort,
} from './gateway-config.ts';
export { type CompiledIstio, compileIstio } from './istio/compile-istio.ts';
export { isRoutingDocument, readIstioDocuments, routingKinds } from './istio/istio-documents.ts';
export type { ListenerConfig } from './listener-config.ts';
export { allowUnproved, LoggedPeers, type LoggedPeersOptions } from './logged-peers.ts';
export type { ClusterModel, PeerPattern } from './model/cluster-model.ts';
export type { IdentityModel, TrustModel } from './model/credential-model.ts';
export type { GatewayModel } from './model/gateway-model.ts';
export { needsOwnIdentity } from './model/own-identity.ts';
export { type RequestTarget, readRequestTarget } from './request-target.ts';
export { askSidecar, type ControlRequest } from './sidecar/control-socket.ts';
export { type MixedPorts, type SeenConnection, strictPorts } from './sidecar/mixed-ports.ts';
export {
  formatScript,
  type RedirectRules,
  type RulesFormat,
  type RulesScript,
  type RulesStep,
  redirectRulesOf,
  rulesScripts,
} from './sidecar/redirect-rules.ts';
export { modesOf, parseSidecarConfig, type SidecarConfig } from './sidecar/sidecar-config.ts';
export {
  type PlaintextCaller,
  type PortReadiness,
  usualQuietMs,
} from './sidecar/sidecar-ports.ts';
export { sidecarJsonSchema } from './sidecar/sidecar-schema.ts';
export { type SidecarOptions, startSidecar } from './sidecar/start-sidecar.ts';
export {
  type Gateway,
  type GatewayChange,
  type GatewayOptions,
  type GatewayStats,
  startGateway,
} from './start-gateway.ts';
export {
  compileTunnelClient,
  compileTunnelServer,
  type TunnelClientWish,
  type TunnelServerWish,
  type TunnelWish,
} from './tunnel/compile-tunnel.ts';
export { wrongWithPattern } from './tunnel/peer-patterns.ts';
export {
  type HostAddress,
  isLocal,
  parseTunnelAddress,
  type TunnelAddress,
} from './tunnel/tunnel-address.ts';
