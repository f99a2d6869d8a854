import type { Clock, Log } from '@countersign/base';
import type { SvidSource } from '@countersign/spiffe';
import type { Authority } from '../authority.ts';
import { GuessLimiter } from '../serve/guess-limiter.ts';
import { type IssueLine, noLine } from '../serve/issue-line.ts';
import { RateLimiter } from '../serve/rate-limiter.ts';
import { answerEst, estPath } from './answer-est.ts';
import type { EstConfig } from './est-config.ts';
import type { EstContext } from './est-context.ts';
import type { EstHttp, EstReply } from './est-http.ts';
import { Passwords } from './passwords.ts';

export interface EstEdgeOptions {
  readonly config: EstConfig;
  readonly authority: Authority;
  /** The server's own, which signs the keys that it makes. */
  readonly identity: SvidSource;
  /** None before it unless given. */
  readonly line?: IssueLine | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** EST (RFC 7030, RFC 8951) in front of an authority. Whoever serves it brings HTTP and TLS. */
export class EstEdge {
  readonly #context: EstContext;

  constructor({ config, authority, identity, line = noLine, clock, log }: EstEdgeOptions) {
    const { failedLogins: burst, failedLoginMs: refillMs, requestsPerHour } = config.limits;
    this.#context = {
      ...{ config, authority, identity, line, clock, log },
      passwords: new Passwords(),
      guesses: new GuessLimiter(clock, { burst, refillMs }),
      requests: new RateLimiter(clock, requestsPerHour),
    };
  }

  /** Whether a request's path is below the edge's own. */
  has(path: string): boolean {
    return path.startsWith(`${estPath}/`);
  }

  answer(http: EstHttp): Promise<EstReply> {
    return answerEst(this.#context, http);
  }
}
