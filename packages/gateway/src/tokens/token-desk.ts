import {
  compileTokenRules,
  type JudgedTokens,
  judgeTokens,
  type TokenRequest,
  type TokenRule,
  type TokenRules,
} from '@countersign/authz';
import { type Clock, CountersignError, type Denial, type Log } from '@countersign/base';
import { wrongWithHeaderName } from '../model/header-guard.ts';
import { isOnThisMachine } from '../provider-config.ts';
import { RemoteKeys } from './token-keys.ts';

export interface TokenDeskOptions {
  readonly clock: Clock;
  readonly log: Log;
}

/** Whose requests are by their tokens; the rules are those of RequestAuthentication for this workload. */
export class TokenDesk {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #keys: RemoteKeys;
  #rules: TokenRules = compileTokenRules([]);

  /** @throws CountersignError ERR_JWT_KEYS, ERR_GATEWAY_TOKEN_HEADER */
  constructor(rules: readonly TokenRule[], { clock, log }: TokenDeskOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#keys = new RemoteKeys({ clock, log });
    this.use(rules);
  }

  /** Whether there is nothing to ask. */
  get isIdle(): boolean {
    return this.#rules.rules.length === 0;
  }

  /**
   * All of them, or none of them and those of before.
   *
   * @throws CountersignError ERR_JWT_KEYS, ERR_GATEWAY_TOKEN_HEADER
   */
  use(rules: readonly TokenRule[]): void {
    const compiled = compileTokenRules(rules);
    checkTold(compiled.told);
    this.#keys.prepare(rules);
    this.#rules = compiled;
    for (const { issuer, keys } of rules) {
      if (keys.kind !== 'uri' || !isClearElsewhere(keys.uri)) continue;
      const line = { issuer, jwksUri: keys.uri };
      this.#log.warn(
        line,
        'keys of an issuer come in clear text: whoever is between can forge its tokens',
      );
    }
  }

  judge(request: TokenRequest): Promise<JudgedTokens | Denial> {
    return judgeTokens(this.#rules, request, { keys: this.#keys, at: this.#clock.now() });
  }

  destroy(): Promise<void> {
    return this.#keys.destroy();
  }
}

/** What a token says must not be taken for what the handshake proved, nor change how a request is framed. */
function checkTold(names: ReadonlySet<string>): void {
  for (const header of names) {
    const wrong = wrongWithHeaderName(header);
    if (wrong === undefined) continue;
    const message = `tell claims of tokens in header "${header}": it ${wrong}`;
    throw new CountersignError('ERR_GATEWAY_TOKEN_HEADER', message, { fields: { header } });
  }
}

function isClearElsewhere(uri: string): boolean {
  const { protocol, hostname } = new URL(uri);
  return protocol === 'http:' && !isOnThisMachine(hostname);
}
