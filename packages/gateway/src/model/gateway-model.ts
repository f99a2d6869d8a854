import type { OutboundModel } from '../sidecar/outbound-model.ts';
import type { ClusterModel } from './cluster-model.ts';
import type { IdentityModel, TrustModel } from './credential-model.ts';
import type { ListenerModel } from './listener-model.ts';
import type { RouteTableModel } from './route-model.ts';

/**
 * What every language of configuration compiles to. Plain data, so that it can be compared at a reload and shown;
 * what it means to a request is compiled from it once.
 */
export interface GatewayModel {
  readonly listeners: readonly [ListenerModel, ...ListenerModel[]];
  readonly tables: readonly RouteTableModel[];
  readonly clusters: readonly ClusterModel[];
  /** Certificates and anchors of files, beside the gateway's own. */
  readonly identities: readonly IdentityModel[];
  readonly trusts: readonly TrustModel[];
  /** Of a sidecar: where the application's connections lead that name no listener. */
  readonly outbound?: OutboundModel;
}
