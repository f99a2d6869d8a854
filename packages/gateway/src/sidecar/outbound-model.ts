/** Where what an application asks for leads, where it names no port of its sidecar's. Plain data, as all of the model. */
export interface OutboundModel {
  /** Istio's words: what is in no configuration is refused, or passed on as it is. */
  readonly policy: 'REGISTRY_ONLY' | 'ALLOW_ANY';
  readonly destinations: readonly OutboundDestination[];
}

export interface OutboundDestination {
  /** Of its cluster, and of its table where it speaks HTTP. */
  readonly name: string;
  readonly protocol: 'http' | 'tcp';
  /** As the application calls it. */
  readonly hosts: readonly CalledHost[];
  /** Virtual addresses of it, `10.0.0.7` or `10.0.0.0/24`, each with every port of `hosts`. */
  readonly networks: readonly string[];
}

export interface CalledHost {
  /** Lowercase; an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
}
