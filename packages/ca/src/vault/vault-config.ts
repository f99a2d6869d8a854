/** What ca.yaml says under `vault`. Durations are milliseconds. */
export interface VaultConfig {
  /** The provisioner that policy rules and the ledger name, unless a mount has its own. */
  readonly provisioner: string;
  /** Each is an intermediate of the hierarchy, under a path of Vault's. */
  readonly mounts: readonly ConfiguredMount[];
  /** Whether callers whose policies let them may make mounts, each an authority of its own. */
  readonly newMounts: boolean;
  readonly tokens: readonly ConfiguredToken[];
  /** Of tokens for which no other lifetime is asked. */
  readonly tokenMs: number;
  readonly longestTokenMs: number;
  /** Networks beside the public ones in which keys and token reviews may be asked for. */
  readonly allow: readonly string[];
  readonly limits: {
    /** Failed logins that an address may have at once, and after which time it has one more. */
    readonly failedLogins: number;
    readonly failedLoginMs: number;
  };
}

export interface ConfiguredMount {
  /** Without slashes at its ends. */
  readonly path: string;
  readonly intermediate: string;
  readonly provisioner: string | undefined;
  readonly description: string;
  /** Whether callers whose policies let them may have it sign certificates of authorities. */
  readonly signsIntermediates: boolean;
}

/** A token that is never in a configuration: its file is read at each use. */
export interface ConfiguredToken {
  readonly name: string;
  readonly file: string;
  readonly policies: readonly string[];
}
