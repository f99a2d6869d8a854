import type { Clock, Counter, Log } from '@countersign/base';
import type { Authority } from '../authority.ts';
import type { KeySets } from '../bearer/key-sets.ts';
import type { GuessLimiter } from '../serve/guess-limiter.ts';
import type { IssueLine } from '../serve/issue-line.ts';
import type { AuthMethods } from './auth/auth-methods.ts';
import type { Mounts } from './mounts.ts';
import type { Lists } from './pki/lists.ts';
import type { MadeKeys } from './pki/made-keys.ts';
import type { Policies } from './policies.ts';
import type { Tokens } from './tokens.ts';
import type { VaultConfig } from './vault-config.ts';
import type { VaultStore } from './vault-store.ts';

export interface VaultContext {
  readonly config: VaultConfig;
  readonly authority: Authority;
  readonly store: VaultStore;
  readonly tokens: Tokens;
  readonly policies: Policies;
  readonly mounts: Mounts;
  readonly authMethods: AuthMethods;
  /** Of mounts that were made over the API. */
  readonly madeKeys: MadeKeys;
  readonly lists: Lists;
  /** Where keys of other issuers' tokens come from. */
  readonly keySets: KeySets;
  readonly guesses: GuessLimiter;
  /** Orders wait here among all others. */
  readonly line: IssueLine;
  readonly version: string;
  readonly requests: Counter;
  readonly clock: Clock;
  readonly log: Log;
}
