import type { Clock, Log, Meter } from '@countersign/base';
import type { Authority } from '../authority.ts';
import { KeySets } from '../bearer/key-sets.ts';
import { GuessLimiter } from '../serve/guess-limiter.ts';
import { type IssueLine, noLine } from '../serve/issue-line.ts';
import { answerVault, type VaultHttp, type VaultReply } from './answer-vault.ts';
import { AuthMethods } from './auth/auth-methods.ts';
import { isOwnPath } from './mount-path.ts';
import { Mounts, uuidOf } from './mounts.ts';
import { Lists } from './pki/lists.ts';
import { MadeKeys } from './pki/made-keys.ts';
import { Policies } from './policies.ts';
import { Tokens } from './tokens.ts';
import type { VaultConfig } from './vault-config.ts';
import type { VaultContext } from './vault-context.ts';
import { copiedKinds, VaultCopy } from './vault-copy.ts';
import { VaultStore } from './vault-store.ts';

export interface VaultEdgeOptions {
  readonly config: VaultConfig;
  readonly authority: Authority;
  /** None before it unless given. */
  readonly line?: IssueLine | undefined;
  readonly version: string;
  /** Where a copy of its state is kept, for backups; absent: nowhere. */
  readonly copy?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

/** The API of Vault's PKI secrets engine in front of an authority. Whoever serves it brings HTTP and TLS. */
export class VaultEdge {
  readonly #context: VaultContext;
  readonly #copy: VaultCopy;

  private constructor(context: VaultContext, copy: VaultCopy) {
    this.#context = context;
    this.#copy = copy;
  }

  /** @throws CountersignError ERR_STATE_BROKEN */
  static async open(options: VaultEdgeOptions): Promise<VaultEdge> {
    const { config, authority, line = noLine, version, clock, log, meter } = options;
    const { ledger: state } = authority;
    const copy = new VaultCopy({
      ...{ state, file: options.copy, log },
      configuredMounts: config.mounts.map(({ path }) => uuidOf(path)),
    });
    await copy.open();
    const store = new VaultStore(state, (kinds) => {
      if (kinds.some((kind) => copiedKinds.has(kind))) copy.changed();
    });
    const { failedLogins: burst, failedLoginMs: refillMs } = config.limits;
    const context: VaultContext = {
      ...{ config, authority, store, line, version, clock, log },
      tokens: new Tokens({ store, config, clock, log }),
      policies: new Policies(store, clock),
      mounts: new Mounts(store, config),
      authMethods: new AuthMethods(store),
      madeKeys: new MadeKeys(store, authority),
      lists: new Lists(authority, clock, log),
      keySets: new KeySets({ allow: config.allow, clock }),
      guesses: new GuessLimiter(clock, { burst, refillMs }),
      requests: meter.counter({
        name: 'countersign_vault_requests_total',
        help: "Requests to Vault's API by route and result: ok, or the code of the refusal.",
        labels: ['route', 'result'],
      }),
    };
    return new VaultEdge(context, copy);
  }

  /** Whether a request's path is below `/v1/` and not the authority's own. */
  has(path: string): boolean {
    const first = /^\/v1\/([^/?]+)/.exec(path)?.[1];
    return first !== undefined && !isOwnPath(first);
  }

  answer(http: VaultHttp): Promise<VaultReply> {
    return answerVault(this.#context, http);
  }

  async close(): Promise<void> {
    await this.#copy.close();
    await this.#context.lists.close();
  }
}
