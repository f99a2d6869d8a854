import type { ExtKeyUsage, KeyKind } from '@countersign/x509';
import type { OtherIssuer } from './kept-source.ts';

/** One certificate to keep fresh, however its entry was written. Paths are absolute. */
export interface KeptCertificate {
  readonly name: string;
  /** Undefined: the names of the keeper's own identity. */
  readonly names: KeptNames | undefined;
  /** The authority's default unless given. */
  readonly ttlMs: number | undefined;
  /** How long before its end it is renewed; a third of the lifetime unless given. */
  readonly renewBeforeMs: number | undefined;
  /** The same as a share of the lifetime, above 0 and below 1. */
  readonly renewBeforeShare: number;
  readonly keyKind: KeyKind;
  /** Whether a renewal makes a new key. */
  readonly rotatesKey: boolean;
  /** What the certificate must be good for; looked at once it is issued. */
  readonly usages: readonly ExtKeyUsage[];
  readonly profile: string | undefined;
  readonly issuer: string | undefined;
  /** Somebody else's authority that signs it; undefined: ours. */
  readonly from: OtherIssuer | undefined;
  /** Holds the outputs with plain names, which change all at once. */
  readonly folder: string;
  readonly outputs: readonly Output[];
  /** Run once the files have changed. */
  readonly command: readonly string[] | undefined;
  readonly commandTimeoutMs: number;
  readonly probe: Probe | undefined;
}

export interface KeptNames {
  readonly spiffeId: string | undefined;
  /** Of the subject; whatever the authority gives where it is undefined. */
  readonly commonName: string | undefined;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
}

export interface Output {
  /** Absolute. */
  readonly path: string;
  /** Whether it is in the folder, with whose others it changes. */
  readonly isInFolder: boolean;
  readonly format: OutputFormat;
  readonly mode: number;
  readonly owner: string | undefined;
  readonly group: string | undefined;
  /** Of key stores: the file that has the password. */
  readonly passwordFile: string | undefined;
  readonly alias: string;
}

export const outputFormats = [
  'key',
  'key-traditional',
  'key-der',
  'cert',
  'chain',
  'bundle',
  'combined',
  'pkcs12',
  'pkcs12-trust',
  'jks',
  'jks-trust',
] as const;

export type OutputFormat = (typeof outputFormats)[number];

/** Those that hold a private key are 0600 unless their entry says otherwise. */
export const secretFormats: ReadonlySet<OutputFormat> = new Set([
  'key',
  'key-traditional',
  'key-der',
  'combined',
  'pkcs12',
  'jks',
]);

export const storeFormats: ReadonlySet<OutputFormat> = new Set([
  'pkcs12',
  'pkcs12-trust',
  'jks',
  'jks-trust',
]);

export const probeProtocols = ['tls', 'postgres', 'mysql', 'smtp', 'imap'] as const;

/** Where the consumer serves the certificate. */
export interface Probe {
  readonly host: string;
  readonly port: number;
  /** SNI; the host unless given. */
  readonly serverName: string | undefined;
  readonly protocol: (typeof probeProtocols)[number];
  /** How long it may take until it does. */
  readonly withinMs: number;
}
