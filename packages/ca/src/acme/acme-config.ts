import type { LookedAtChallenge } from './acme-objects.ts';
import type { AcmeResources } from './acme-resources.ts';

/** What ca.yaml says under `acme`, or a stand-in for a public authority from its own file. Durations are milliseconds. */
export interface AcmeConfig {
  /** Before the names of its resources, such as `/acme`. */
  readonly path: string;
  /** The directory's own resource below `path`. */
  readonly directory: string;
  /** Paths of everything else below `path`. */
  readonly resources: AcmeResources;
  /** The provisioner that policy rules and the ledger name. */
  readonly provisioner: string;
  readonly challenges: readonly LookedAtChallenge[];
  /** Undefined: no device is attested, and none is a name. */
  readonly deviceAttestation?: DeviceAttestationConfig | undefined;
  readonly termsOfService: string | undefined;
  readonly website: string | undefined;
  readonly externalAccountRequired: boolean;
  readonly externalAccounts: readonly ExternalAccount[];
  readonly profiles: readonly AcmeProfile[];
  readonly authorizationMs: number;
  readonly orderMs: number;
  /** How often an authorization that is valid serves a further order of its account, 0 to 100. */
  readonly reusePercent: number;
  /** What clients are told to wait while something is under way, in seconds; 0: they are not told. */
  readonly retryAfter: { readonly authorization: number; readonly order: number };
  readonly ordersPerPage: number;
  /** Names that are refused with their subdomains, whatever the policy says. */
  readonly blockedDomains: readonly string[];
  /** Names of the authority in CAA records, for the directory alone. */
  readonly caaIdentities: readonly string[];
  /** Files of certificates in PEM, each a way from a key of the hierarchy to another root, from the bottom. */
  readonly alternateChains: readonly string[];
  /** Whether an order may say when its certificate begins and ends, within the policy. */
  readonly requestedValidity: boolean;
  readonly limits: AcmeLimits;
  readonly validation: ValidationConfig;
  readonly trials: AcmeTrials;
}

/** What tries clients out, and is nothing but in the way of those that are known to work. */
export interface AcmeTrials {
  /** Good nonces that are refused all the same, 0 to 100. */
  readonly nonceRejectPercent: number;
  /** Refuses what RFC 8555 forbids and servers let pass: no User-Agent, members of drafts long gone. */
  readonly isStrict: boolean;
}

export const noTrials: AcmeTrials = { nonceRejectPercent: 0, isStrict: false };

export interface DeviceAttestationConfig {
  /** Files of certificates in PEM: who vouches for attestation keys. */
  readonly roots: readonly string[];
  readonly formats: readonly 'tpm'[];
}

export interface ExternalAccount {
  readonly kid: string;
  /** Of HMAC: a file with base64url, read at each use, so that it is never in a configuration; or the key itself. */
  readonly key: { readonly file: string } | { readonly bytes: Uint8Array };
  /** For the policy, in the place of the edge's own. */
  readonly provisioner: string | undefined;
}

export interface AcmeProfile {
  readonly name: string;
  readonly description: string;
  /** Name of the authority's profile; undefined: the one that is for such a request. */
  readonly profile: string | undefined;
  /** A SPIFFE ID beside the names, with `{name}` for the first of them; undefined: none. */
  readonly spiffeId: string | undefined;
  readonly lifetimeMs: number | undefined;
  /** Whether the first name stands in the subject too, for who looks for it there. */
  readonly commonName: boolean;
}

export interface AcmeLimits {
  /** New accounts of one address an hour. */
  readonly accountsPerHour: number;
  /** New orders of one account an hour. */
  readonly ordersPerHour: number;
  /** Identifiers of one order. */
  readonly identifiers: number;
}

export interface ValidationConfig {
  readonly httpPort: number;
  readonly tlsAlpnPort: number;
  /** Each vantage is a list of `address:port` of resolvers; an empty one asks those of the machine. */
  readonly vantages: readonly (readonly string[])[];
  /** Vantages that may disagree. */
  readonly mayFail: number;
  /** Networks that may be connected to though they are not public, beside those of `isOpen`. */
  readonly allow: readonly string[];
  /** Whether a validation may connect anywhere; redirects too. */
  readonly isOpen: boolean;
  readonly timeoutMs: number;
  /** Looks again after these pauses before an answer counts as no. */
  readonly retryMs: readonly number[];
  /** Waits by chance up to that long before it looks. */
  readonly sleepMs: number;
  /** Of tests alone: every challenge is valid at once. */
  readonly alwaysValid: boolean;
}
