/** What ca.yaml says under `est`. Durations are milliseconds. */
export interface EstConfig {
  /** Below `/.well-known/est/` itself. */
  readonly unlabelled: EstLabel;
  /** Below `/.well-known/est/<name>/`. */
  readonly labels: readonly EstLabel[];
  readonly users: readonly EstUser[];
  readonly devices: readonly EstDevices[];
  /** Whether keys are made here for clients that ask for that. */
  readonly serverKeygen: boolean;
  /** `optional`: a challengePassword that is there must link the request to its connection. */
  readonly channelBinding: 'optional' | 'required';
  /** Shared keys that made keys are encrypted with, by what requests call them; files with hexadecimal digits. */
  readonly decryptKeys: readonly { readonly id: string; readonly file: string }[];
  readonly limits: {
    /** Failed logins that an address may have at once, and after which time it has one more. */
    readonly failedLogins: number;
    readonly failedLoginMs: number;
    /** Certificates of one caller; 0: not bounded. */
    readonly requestsPerHour: number;
  };
}

/** What a label chooses; undefined: the authority decides by the names. */
export interface EstLabel {
  /** Undefined for what stands below no label. */
  readonly name: string | undefined;
  /** The provisioner that policy rules and the ledger name, unless the caller has its own. */
  readonly provisioner: string;
  readonly intermediate: string | undefined;
  readonly profile: string | undefined;
  readonly lifetimeMs: number | undefined;
}

/** Whom an entry lets in, and where. */
export interface EstEntrance {
  readonly name: string;
  readonly provisioner: string | undefined;
  /** Undefined: under every label, and under none. */
  readonly labels: readonly string[] | undefined;
}

export interface EstUser extends EstEntrance {
  /** Holds the password's hash; read at each use. */
  readonly passwordFile: string;
}

/** Whoever has a certificate of a manufacturer. */
export interface EstDevices extends EstEntrance {
  /** The manufacturer's certificates in PEM: roots, and issuers below them. Read at each use. */
  readonly rootsFile: string;
  /** What the certificate's subject must have, by attribute type. */
  readonly subject: readonly { readonly type: DeviceAttribute; readonly pattern: string }[];
  /** DNS names that it may have, with `{CN}` and its like for attributes of its subject. */
  readonly names: readonly string[];
  /** A SPIFFE ID that it gets, written so; undefined: none. */
  readonly spiffeId: string | undefined;
}

export const deviceAttributes = ['CN', 'serialNumber', 'O', 'OU'] as const;
export type DeviceAttribute = (typeof deviceAttributes)[number];
