import {
  ConfigError,
  type ConfigIssue,
  parseConfigText,
  readDocument,
  type WrittenSuperior,
} from '@countersign/config';
import type { KeyKind, KeyUsage, NameConstraints } from '@countersign/x509';
import type { AcmeConfig } from './acme/acme-config.ts';
import { interpretCaConfig } from './ca-config-checks.ts';
import { caConfigSchema } from './ca-config-schema.ts';
import type { DnsPattern } from './dns-name.ts';
import type { EstConfig } from './est/est-config.ts';
import type { JwtConfig } from './jwt/jwt-config.ts';
import type { LedgerConfig } from './ledger/ledger-config.ts';
import type { NameRule } from './policy/name-rule.ts';
import type { CertificateProfile } from './profile/certificate-profile.ts';
import type { ProvisionerConfig } from './provisioners/provisioner-config.ts';
import type { PublishConfig } from './publish/publish-config.ts';
import type { RequestsConfig } from './requests/requests-config.ts';
import type { SecretSource } from './signers/secret-source.ts';
import type { StorageConfig } from './signers/storage-config.ts';
import type { VaultConfig } from './vault/vault-config.ts';

/** `ca.yaml`, read and checked; every default is filled in. Durations are milliseconds. */
export interface CaConfig {
  /** As the operator named it; used in messages only. */
  readonly file: string;
  readonly trustDomain: string;
  readonly root: RootConfig;
  /** Undefined: nobody stands above the root. */
  readonly issuedBy: WrittenSuperior | undefined;
  /** In file order: the first that admits every requested name signs. At least one. */
  readonly intermediates: readonly IntermediateConfig[];
  readonly services: ServiceConfig;
  /** What `services` says, in the shape of `profiles`: for requests that no other profile is for. */
  readonly defaultProfile: CertificateProfile;
  /** In file order: the first that is for a request is its profile. */
  readonly profiles: readonly CertificateProfile[];
  /** Who may get which names, beyond what `services` says. */
  readonly rules: readonly NameRule[];
  /** Whether a rule or profile asks who vouched first, which a renewal has to look up. */
  readonly asksProvisioner: boolean;
  readonly requests: RequestsConfig;
  readonly api: ApiConfig;
  /** Undefined: no lists, no OCSP, and certificates name none. */
  readonly publish: PublishConfig | undefined;
  /** Undefined: no JWT-SVIDs. */
  readonly jwt: JwtConfig | undefined;
  /** Undefined: no ACME. */
  readonly acme: AcmeConfig | undefined;
  /** Undefined: none of Vault's API. */
  readonly vault: VaultConfig | undefined;
  /** Undefined: no EST. */
  readonly est: EstConfig | undefined;
  /** Whose tokens the API takes; in file order. */
  readonly provisioners: readonly ProvisionerConfig[];
  /** Whether step-ca's own paths are answered. */
  readonly stepPaths: boolean;
  /** Where the passphrase is that seals keys in files; undefined: a key file seals them, or the command line says. */
  readonly seal: SecretSource | undefined;
  readonly ledger: LedgerConfig;
  /** What was understood but deserves a word to the operator, once. */
  readonly notices: readonly string[];
}

export interface AuthorityCertificateConfig {
  readonly subject: SubjectConfig;
  readonly key: KeyKind;
  readonly validityMs: number;
  readonly pathLen: number;
  /** Where its key lives. */
  readonly storage: StorageConfig;
}

export interface RootConfig extends AuthorityCertificateConfig {
  /** Whether it signs certificates of services itself, in the place of the one intermediate. Default false. */
  readonly signsServices?: boolean;
}

export interface IntermediateConfig extends AuthorityCertificateConfig {
  /** Letters, digits, `-` and `_`, beginning with a letter: it names files too. */
  readonly name: string;
  /** Who issues it: `root`, or another intermediate. */
  readonly issuer: string;
  /** Whether it signs certificates of services; those that issue intermediates do not. */
  readonly signsServices: boolean;
  /** Its own; those above it bind as well. */
  readonly constraints: NameConstraints;
  /** Dotted OIDs of its certificatePolicies extension; none, no extension. */
  readonly policies: readonly string[];
  /** Name of the profile of what it signs where nothing else decides. */
  readonly profile: string | undefined;
}

/** In the order of encoding. */
export interface SubjectConfig {
  readonly country?: string | undefined;
  readonly organization?: string | undefined;
  readonly organizationalUnit?: string | undefined;
  readonly commonName: string;
}

export interface ServiceConfig {
  /** What `issue` generates. */
  readonly key: KeyKind;
  /** True where the file says so: then requests need that algorithm and at least that size. */
  readonly keyRequired: boolean;
  /** The lifetime where none is asked for. */
  readonly validityMs: number;
  readonly maxValidityMs: number;
  /** keyEncipherment is encoded for RSA keys only. */
  readonly keyUsage: readonly KeyUsage[];
  /** Names (`serverAuth`) or dotted OIDs. */
  readonly extKeyUsage: readonly string[];
  readonly requireSpiffe: boolean;
  /** Undefined where the file has none: then a name needs an intermediate that permits it by name. */
  readonly dnsPatterns: readonly DnsPattern[] | undefined;
  readonly allowIp: boolean;
  /** Names such as `*.shop.example`: one certificate for whatever stands there. */
  readonly allowWildcards: boolean;
}

export interface ApiConfig {
  /** SPIFFE IDs that may revoke others over the API. Default none. */
  readonly admins: readonly string[];
  /** SPIFFE IDs that may order certificates for others over the API, within the policy. Default none. */
  readonly registrars: readonly string[];
  /** SPIFFE IDs, or beginnings that end in `*`, that may hold a lease. Default `*`. */
  readonly gateways: readonly string[];
  /** Whether the file says nothing of gateways: then it is told at start-up what that means. */
  readonly isAnyGateway: boolean;
  /** Streams of the revocation feed that one identity may have open at an authority. Default 16, 1 to 4096. */
  readonly feedStreams: number;
  /** Default 127.0.0.1. */
  readonly address: string;
  /** Default 8440; 0: any free port. */
  readonly port: number;
  /** How often holders of the trust bundle are to look for a new one. Default 5 min, at least 1 s. */
  readonly bundleRefreshMs: number;
  /** Further names in the authority's own TLS certificate. */
  readonly dns: readonly string[];
  readonly ip: readonly string[];
}

/**
 * Reads `ca.yaml`.
 *
 * @throws ConfigError with every issue: ERR_CONFIG_SYNTAX, ERR_CONFIG_UNKNOWN_KEY, ERR_CONFIG_VALUE, ERR_CONFIG_UNSUPPORTED
 */
export function parseCaConfig(text: string, file: string): CaConfig {
  const document = parseConfigText(text, file);
  const written = readDocument(caConfigSchema, document);
  const { config, findings } = interpretCaConfig(written, file);
  const [first, ...rest] = findings
    .map(
      ({ path, which, code, message }): ConfigIssue => ({
        code,
        message,
        path: path.join('.'),
        ...document.positionOf(path, which ?? 'value'),
      }),
    )
    .sort((a, b) => a.line - b.line || a.column - b.column);
  if (first !== undefined) throw new ConfigError(file, [first, ...rest]);
  return config;
}
