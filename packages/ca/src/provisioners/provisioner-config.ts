export const provisionerTypes = [
  'oidc',
  'kubernetes',
  'jwk',
  'x5c',
  'aws',
  'gcp',
  'azure',
  'tpm',
] as const;
export type ProvisionerType = (typeof provisionerTypes)[number];

/** One entry of `provisioners`: whose tokens are taken, and what for. Durations are milliseconds. */
export interface ProvisionerConfig {
  /** For policy rules and the ledger. */
  readonly name: string;
  /**
   * `oidc`: any issuer with a JWKS. `kubernetes`: the same, of service accounts. `jwk`: one-time tokens with names, by a
   * key of ours, as step-ca's clients make them. `x5c`: one-time tokens by the key of another authority's certificate.
   * `aws`, `gcp`, `azure`: what a virtual machine is told of itself, signed by whoever runs it. `tpm`: a machine by its
   * endorsement key.
   */
  readonly type: ProvisionerType;
  /** What `iss` must be; of jwk and x5c the provisioner's name unless given, of gcp Google's. */
  readonly issuer: string;
  /** Where its keys are; where neither is given, discovery by the issuer says. */
  readonly jwksUrl: string | undefined;
  readonly jwksFile: string | undefined;
  /** Of jwk: the private half of the first of those keys, under a password, for step's clients. */
  readonly encryptedKeyFile: string | undefined;
  /** Roots of the issuer's server, in PEM. */
  readonly caFile: string | undefined;
  /** Of x5c: the other authority's certificates; of azure: what stands above the metadata service's; of tpm: makers of TPMs. In PEM. */
  readonly rootsFile: string | undefined;
  /** Of aws: what the regions sign with, in PEM. */
  readonly certificatesFile: string | undefined;
  /** One of them must be in the token; empty where documents have none. */
  readonly audiences: readonly string[];
  /** What claims must be: one of these, with `*` for anything. */
  readonly claims: readonly { readonly name: string; readonly values: readonly string[] }[];
  /** Names of a token that says none itself, with `{claim}`. */
  readonly spiffeId: string | undefined;
  readonly dns: readonly string[];
  /** Of aws and gcp: how long ago the machine may have been started; undefined: not looked at. */
  readonly maxInstanceAgeMs: number | undefined;
  /** Of aws, gcp, azure and tpm: whether a machine may come again. */
  readonly isReusable: boolean;
  /** Of azure's documents: `key`: their nonce is that of the request's key, {@link nonceOfKey}. */
  readonly nonce: 'key' | 'any';
  readonly intermediate: string | undefined;
  readonly profile: string | undefined;
  readonly lifetimeMs: number | undefined;
  /** Networks beside the public ones in which keys may be asked for. */
  readonly allow: readonly string[];
  /** 0: not bounded. */
  readonly requestsPerHour: number;
}

/** What a provisioner of that type takes: JWTs, documents that are CMS, or what a TPM states. */
export function takes({ type, rootsFile }: ProvisionerConfig): 'jwt' | 'aws' | 'azure' | 'tpm' {
  if (type === 'aws' || type === 'tpm') return type;
  return type === 'azure' && rootsFile !== undefined ? 'azure' : 'jwt';
}
