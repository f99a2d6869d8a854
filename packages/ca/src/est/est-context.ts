import type { Clock, Log } from '@countersign/base';
import type { SvidSource } from '@countersign/spiffe';
import type { Authority } from '../authority.ts';
import type { GuessLimiter } from '../serve/guess-limiter.ts';
import type { IssueLine } from '../serve/issue-line.ts';
import type { RateLimiter } from '../serve/rate-limiter.ts';
import type { EstConfig } from './est-config.ts';
import type { Passwords } from './passwords.ts';

export interface EstContext {
  readonly config: EstConfig;
  readonly authority: Authority;
  /** Signs keys that are made here. */
  readonly identity: SvidSource;
  readonly passwords: Passwords;
  readonly guesses: GuessLimiter;
  readonly requests: RateLimiter;
  /** Orders wait here among all others. */
  readonly line: IssueLine;
  readonly clock: Clock;
  readonly log: Log;
}
