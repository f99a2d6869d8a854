import { protoFiles } from '@countersign/wire';
import { loadTypes, messageType } from './proto-types.ts';

const types = loadTypes(protoFiles.workload);

export interface X509SvidMessage {
  readonly spiffeId: string;
  readonly x509Svid: Uint8Array;
  readonly x509SvidKey: Uint8Array;
  readonly bundle: Uint8Array;
  readonly hint: string;
}

export interface X509SvidResponse {
  readonly svids: readonly X509SvidMessage[];
  /** By the SPIFFE ID of the trust domain. */
  readonly federatedBundles: Readonly<Record<string, Uint8Array>>;
}

export interface BundlesResponse {
  readonly bundles: Readonly<Record<string, Uint8Array>>;
}

export interface JwtSvidRequest {
  readonly audience: readonly string[];
  readonly spiffeId?: string;
}

export interface JwtSvidResponse {
  readonly svids: readonly {
    readonly spiffeId: string;
    readonly svid: string;
    readonly hint: string;
  }[];
}

export interface ValidateJwtSvidRequest {
  readonly audience?: string;
  readonly svid?: string;
}

export interface ValidateJwtSvidResponse {
  readonly spiffeId: string;
  readonly claims: { readonly fields: Readonly<Record<string, unknown>> };
}

type Empty = Readonly<Record<string, never>>;
const empty = (name: string) => messageType<Empty>(types, name);

/** The messages of the Workload API that are written or read here. */
export const workloadMessages = {
  x509SvidResponse: messageType<X509SvidResponse>(types, 'X509SVIDResponse'),
  x509BundlesResponse: messageType<BundlesResponse>(types, 'X509BundlesResponse'),
  jwtSvidRequest: messageType<JwtSvidRequest>(types, 'JWTSVIDRequest'),
  jwtSvidResponse: messageType<JwtSvidResponse>(types, 'JWTSVIDResponse'),
  jwtBundlesResponse: messageType<BundlesResponse>(types, 'JWTBundlesResponse'),
  validateJwtSvidRequest: messageType<ValidateJwtSvidRequest>(types, 'ValidateJWTSVIDRequest'),
  validateJwtSvidResponse: messageType<ValidateJwtSvidResponse>(types, 'ValidateJWTSVIDResponse'),
} as const;

const { jwtSvidRequest, validateJwtSvidRequest } = workloadMessages;

/** The methods of the Workload API. */
export const workloadMethods = {
  fetchX509Svid: { path: '/SpiffeWorkloadAPI/FetchX509SVID', request: empty('X509SVIDRequest') },
  fetchX509Bundles: {
    path: '/SpiffeWorkloadAPI/FetchX509Bundles',
    request: empty('X509BundlesRequest'),
  },
  fetchJwtSvid: { path: '/SpiffeWorkloadAPI/FetchJWTSVID', request: jwtSvidRequest },
  fetchJwtBundles: {
    path: '/SpiffeWorkloadAPI/FetchJWTBundles',
    request: empty('JWTBundlesRequest'),
  },
  validateJwtSvid: {
    path: '/SpiffeWorkloadAPI/ValidateJWTSVID',
    request: validateJwtSvidRequest,
  },
  fetchWitSvid: { path: '/SpiffeWorkloadAPI/FetchWITSVID', request: empty('WITSVIDRequest') },
  fetchWitBundles: {
    path: '/SpiffeWorkloadAPI/FetchWITBundles',
    request: empty('WITBundlesRequest'),
  },
} as const;
