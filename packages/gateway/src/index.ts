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
export type { GatewayModel } from './model/gateway-model.ts';
export { needsOwnIdentity } from './model/own-identity.ts';
export { type RequestTarget, readRequestTarget } from './request-target.ts';
export { type MixedPorts, type SeenConnection, strictPorts } from './sidecar/mixed-ports.ts';
export { modesOf, parseSidecarConfig, type SidecarConfig } from './sidecar/sidecar-config.ts';
export { sidecarJsonSchema } from './sidecar/sidecar-schema.ts';
export {
  type Gateway,
  type GatewayChange,
  type GatewayOptions,
  type GatewayStats,
  startGateway,
} from './start-gateway.ts';
