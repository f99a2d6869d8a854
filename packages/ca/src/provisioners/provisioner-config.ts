export const provisionerTypes = ['oidc', 'kubernetes', 'jwk', 'x5c'] as const;
export type ProvisionerType = (typeof provisionerTypes)[number];

/** One entry of `provisioners`: whose tokens are taken, and what for. Durations are milliseconds. */
export interface ProvisionerConfig {
  /** For policy rules and the ledger. */
  readonly name: string;
  /**
   * `oidc`: any issuer with a JWKS. `kubernetes`: the same, of service accounts. `jwk`: one-time tokens with names, by a
   * key of ours, as step-ca's clients make them. `x5c`: one-time tokens by the key of another authority's certificate.
   */
  readonly type: ProvisionerType;
  /** What `iss` must be; of jwk and x5c the provisioner's name unless given. */
  readonly issuer: string;
  /** Where its keys are; where neither is given, discovery by the issuer says. */
  readonly jwksUrl: string | undefined;
  readonly jwksFile: string | undefined;
  /** Roots of the issuer's server, in PEM. */
  readonly caFile: string | undefined;
  /** Of x5c: the other authority's certificates, in PEM. */
  readonly rootsFile: string | undefined;
  /** One of them must be in the token. */
  readonly audiences: readonly string[];
  /** What claims must be: one of these, with `*` for anything. */
  readonly claims: readonly { readonly name: string; readonly values: readonly string[] }[];
  /** Names of a token that says none itself, with `{claim}`. */
  readonly spiffeId: string | undefined;
  readonly dns: readonly string[];
  readonly intermediate: string | undefined;
  readonly profile: string | undefined;
  readonly lifetimeMs: number | undefined;
  /** Networks beside the public ones in which keys may be asked for. */
  readonly allow: readonly string[];
  /** 0: not bounded. */
  readonly requestsPerHour: number;
}
