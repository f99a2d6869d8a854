import type { KeptProblem } from './acme-problem.ts';

/**
 * RFC 8555 §7.1.4, RFC 8738 §3, draft-ietf-acme-device-attest §3, §4. DNS names are in their one spelling, a wildcard with
 * its `*.`; a hardware module is its type, a colon and its serial number in hexadecimal.
 */
export interface Identifier {
  readonly type: 'dns' | 'ip' | 'permanent-identifier' | 'hardware-module';
  readonly value: string;
}

/** Times are milliseconds. Every object is a record of the edge's state, under its id. */
export interface Account {
  readonly id: string;
  readonly key: PublicJwk;
  readonly thumbprint: string;
  readonly status: 'valid' | 'deactivated';
  readonly contact: readonly string[];
  readonly termsAgreed: boolean;
  /** Of the external account that it is bound to. */
  readonly external: { readonly kid: string; readonly binding: unknown } | undefined;
  readonly createdAt: number;
}

export interface Order {
  readonly id: string;
  readonly account: string;
  /** `ready` is not kept: it follows from the authorizations. */
  readonly status: 'pending' | 'processing' | 'valid' | 'invalid';
  readonly expiresAt: number;
  readonly identifiers: readonly Identifier[];
  readonly authorizations: readonly string[];
  readonly notBefore: string | undefined;
  readonly notAfter: string | undefined;
  readonly profile: string | undefined;
  /** RFC 9773 §4.1: the certificate whose place it takes. */
  readonly replaces: string | undefined;
  readonly error: KeptProblem | undefined;
  /** While it is processed: the request, base64url, and until when its process is believed to be at work. */
  readonly csr: string | undefined;
  readonly workingUntil: number | undefined;
  /** Serial of the certificate, lowercase hex. */
  readonly certificate: string | undefined;
  readonly createdAt: number;
}

/** Those that are met where a name leads to, which the server looks at. */
export const challengeTypes = ['http-01', 'dns-01', 'dns-account-01', 'tls-alpn-01'] as const;
export type LookedAtChallenge = (typeof challengeTypes)[number];
/** The one whose response is the proof. */
export const deviceChallenge = 'device-attest-01';
export type ChallengeType = LookedAtChallenge | typeof deviceChallenge;

export interface Challenge {
  readonly type: ChallengeType;
  readonly status: 'pending' | 'processing' | 'valid' | 'invalid';
  readonly token: string;
  readonly validatedAt: number | undefined;
  readonly error: KeptProblem | undefined;
  /** Of a device that was attested: SHA-256 of the SubjectPublicKeyInfo that is to be certified, lowercase hex. */
  readonly key?: string;
}

export interface Authorization {
  readonly id: string;
  readonly account: string;
  /** Without the `*.` of a wildcard. */
  readonly identifier: Identifier;
  readonly wildcard: boolean;
  readonly status: 'pending' | 'valid' | 'invalid' | 'deactivated';
  readonly expiresAt: number;
  readonly challenges: readonly Challenge[];
  /** While a challenge is looked at: until when its process is believed to be at work. */
  readonly workingUntil: number | undefined;
}

/** An issued certificate, for whoever asks for it by its address. */
export interface AcmeCertificate {
  readonly serialHex: string;
  readonly account: string;
  readonly order: string;
  /** DER, base64, leaf first, without the root. */
  readonly chain: readonly string[];
  readonly notBefore: number;
  readonly notAfter: number;
}

export function isDevice({ type }: Identifier): boolean {
  return type === 'permanent-identifier' || type === 'hardware-module';
}

export function sameIdentifier(a: Identifier, b: Identifier): boolean {
  return a.type === b.type && a.value === b.value;
}

/** RFC 7517, its public members alone. */
export type PublicJwk = Readonly<Record<string, string>>;

/** How people read it. */
export function formatIdentifier({ type, value }: Identifier): string {
  return `${type}:${value}`;
}
