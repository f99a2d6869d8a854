import { protoFiles } from '@countersign/wire';
import { loadTypes, messageType } from '../serve/proto-types.ts';

const types = loadTypes(protoFiles.sds);
const discovery = 'envoy.service.discovery.v3';
const tls = 'envoy.extensions.transport_sockets.tls.v3';

/** The one type of resource that is served here. */
export const secretType = `type.googleapis.com/${tls}.Secret`;
export const spiffeValidatorType = `type.googleapis.com/${tls}.SPIFFECertValidatorConfig`;

export interface Any {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

export interface EnvoyNode {
  readonly id?: string;
  readonly cluster?: string;
  readonly userAgentBuildVersion?: {
    readonly version?: { readonly majorNumber?: number; readonly minorNumber?: number };
  };
}

export interface ErrorDetail {
  readonly code?: number;
  readonly message?: string;
}

export interface DiscoveryRequest {
  readonly versionInfo?: string;
  readonly node?: EnvoyNode;
  readonly resourceNames: readonly string[];
  readonly typeUrl?: string;
  readonly responseNonce?: string;
  readonly errorDetail?: ErrorDetail;
}

export interface DiscoveryResponse {
  readonly versionInfo: string;
  readonly resources: readonly Any[];
  readonly typeUrl: string;
  readonly nonce: string;
}

export interface DeltaDiscoveryRequest {
  readonly node?: EnvoyNode;
  readonly typeUrl?: string;
  readonly resourceNamesSubscribe: readonly string[];
  readonly resourceNamesUnsubscribe: readonly string[];
  readonly initialResourceVersions?: Readonly<Record<string, string>>;
  readonly responseNonce?: string;
  readonly errorDetail?: ErrorDetail;
}

export interface DeltaDiscoveryResponse {
  readonly systemVersionInfo: string;
  readonly resources: readonly {
    readonly name: string;
    readonly version: string;
    readonly resource: Any;
  }[];
  readonly typeUrl: string;
  readonly nonce: string;
  readonly removedResources: readonly string[];
}

interface DataSource {
  readonly inlineBytes: Uint8Array;
}

export interface Secret {
  readonly name: string;
  readonly tlsCertificate?: {
    readonly certificateChain: DataSource;
    readonly privateKey: DataSource;
  };
  readonly validationContext?: {
    readonly trustedCa?: DataSource;
    readonly customValidatorConfig?: { readonly name: string; readonly typedConfig: Any };
  };
}

export interface SpiffeValidatorConfig {
  readonly trustDomains: readonly { readonly name: string; readonly trustBundle: DataSource }[];
}

export const sdsMessages = {
  request: messageType<DiscoveryRequest>(types, `${discovery}.DiscoveryRequest`),
  response: messageType<DiscoveryResponse>(types, `${discovery}.DiscoveryResponse`),
  deltaRequest: messageType<DeltaDiscoveryRequest>(types, `${discovery}.DeltaDiscoveryRequest`),
  deltaResponse: messageType<DeltaDiscoveryResponse>(types, `${discovery}.DeltaDiscoveryResponse`),
  secret: messageType<Secret>(types, `${tls}.Secret`),
  spiffeValidator: messageType<SpiffeValidatorConfig>(types, `${tls}.SPIFFECertValidatorConfig`),
} as const;

const service = '/envoy.service.secret.v3.SecretDiscoveryService';

export const sdsMethods = {
  streamSecrets: { path: `${service}/StreamSecrets`, request: sdsMessages.request },
  deltaSecrets: { path: `${service}/DeltaSecrets`, request: sdsMessages.deltaRequest },
  fetchSecrets: { path: `${service}/FetchSecrets`, request: sdsMessages.request },
} as const;
