/**
 * Envoy's RBAC (`envoy.config.rbac.v3`) in protobuf's JSON, as far as Istio's policies compile to it. Lists that would
 * be empty and defaults are left out, as Istio writes it.
 */
export type Permission =
  | { readonly any: true }
  | { readonly andRules: { readonly rules: readonly Permission[] } }
  | { readonly orRules: { readonly rules: readonly Permission[] } }
  | { readonly notRule: Permission }
  | { readonly header: HeaderMatcher }
  | { readonly urlPath: { readonly path: StringMatcher } }
  | { readonly uriTemplate: UriTemplate }
  | { readonly destinationIp: CidrRange }
  | { readonly destinationPort: number }
  | { readonly requestedServerName: StringMatcher }
  | { readonly metadata: MetadataMatcher };

export type Principal =
  | { readonly any: true }
  | { readonly andIds: { readonly ids: readonly Principal[] } }
  | { readonly orIds: { readonly ids: readonly Principal[] } }
  | { readonly notId: Principal }
  | { readonly authenticated: { readonly principalName: StringMatcher } }
  | { readonly directRemoteIp: CidrRange }
  | { readonly remoteIp: CidrRange }
  | { readonly header: HeaderMatcher }
  | { readonly metadata: MetadataMatcher };

export interface RbacPolicy {
  readonly permissions: readonly Permission[];
  readonly principals: readonly Principal[];
}

export interface Rbac {
  /** `ALLOW` where absent. */
  readonly action?: 'DENY' | 'LOG';
  readonly policies?: Readonly<Record<string, RbacPolicy>>;
}

export interface StringMatcher {
  readonly exact?: string;
  readonly prefix?: string;
  readonly suffix?: string;
  readonly safeRegex?: { readonly regex: string };
  readonly ignoreCase?: true;
}

export interface HeaderMatcher {
  readonly name: string;
  readonly presentMatch?: true;
  readonly stringMatch?: StringMatcher;
}

export interface CidrRange {
  readonly addressPrefix: string;
  readonly prefixLen: number;
}

export interface UriTemplate {
  readonly name: string;
  readonly typedConfig: { readonly '@type': string; readonly pathTemplate: string };
}

export interface MetadataMatcher {
  readonly filter: string;
  readonly path: readonly { readonly key: string }[];
  readonly value: ValueMatcher;
}

export type ValueMatcher =
  | { readonly stringMatch: StringMatcher }
  | { readonly listMatch: { readonly oneOf: ValueMatcher } }
  | { readonly orMatch: { readonly valueMatchers: readonly ValueMatcher[] } };

export const uriTemplateType =
  'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig';
