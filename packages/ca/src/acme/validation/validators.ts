import { randomInt } from 'node:crypto';
import type { Clock } from '@countersign/base';
import { AddressGuard } from '@countersign/wire';
import type { ValidationConfig } from '../acme-config.ts';
import type { Identifier, LookedAtChallenge } from '../acme-objects.ts';
import type { KeptProblem } from '../acme-problem.ts';
import { lookAtDns } from './dns-01.ts';
import { lookAtHttp } from './http-01.ts';
import { Names } from './names.ts';
import { lookAtTls } from './tls-alpn-01.ts';

/** What a client says that it has put in place. */
export interface Claim {
  readonly type: LookedAtChallenge;
  /** Without the `*.` of a wildcard. */
  readonly identifier: Identifier;
  readonly token: string;
  /** RFC 8555 §8.1 */
  readonly keyAuthorization: string;
  /** Address of the account, for dns-account-01. */
  readonly account: string;
}

/** How one vantage looks. */
export interface Look {
  readonly names: Names;
  readonly guard: AddressGuard | undefined;
  readonly config: ValidationConfig;
  readonly signal: AbortSignal;
}

/** Undefined: it is there. `again`: another look may find it. */
export type Found = (KeptProblem & { readonly again?: boolean }) | undefined;

export interface Validators {
  /** Undefined where the claim holds, or why not. Bounded in time by the configuration. */
  validate(claim: Claim, signal: AbortSignal): Promise<KeptProblem | undefined>;
}

const looks: Readonly<Record<LookedAtChallenge, (claim: Claim, look: Look) => Promise<Found>>> = {
  'http-01': lookAtHttp,
  'dns-01': lookAtDns,
  'dns-account-01': lookAtDns,
  'tls-alpn-01': lookAtTls,
};

/** Claims validated at once, of all clients together. */
const mostAtOnce = 64;

/**
 * Looks at what clients claim, from every vantage, and again where that may help. A stranger decides where it connects:
 * each look is bounded in time and size, and connects to what {@link AddressGuard} lets pass.
 */
export class ClaimValidators implements Validators {
  readonly #config: ValidationConfig;
  readonly #clock: Clock;
  readonly #vantages: readonly Names[];
  readonly #guard: AddressGuard | undefined;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(config: ValidationConfig, clock: Clock) {
    this.#config = config;
    this.#clock = clock;
    this.#vantages = config.vantages.map((servers) => new Names(servers, config.timeoutMs));
    this.#guard = config.isOpen ? undefined : new AddressGuard(config.allow);
  }

  async validate(claim: Claim, signal: AbortSignal): Promise<KeptProblem | undefined> {
    await this.#turn();
    try {
      const { sleepMs, alwaysValid } = this.#config;
      if (sleepMs > 0) await this.#clock.sleep(randomInt(sleepMs), { signal });
      if (alwaysValid) return undefined;
      return await this.#lookAgain(claim, signal);
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }

  async #lookAgain(claim: Claim, signal: AbortSignal): Promise<KeptProblem | undefined> {
    for (const pauseMs of this.#config.retryMs) {
      const found = await this.#look(claim, signal);
      if (found === undefined || found.again !== true) return kept(found);
      await this.#clock.sleep(pauseMs, { signal });
    }
    return kept(await this.#look(claim, signal));
  }

  /**
   * From all vantages at once; what most of them say counts, as far as the operator lets some disagree. As soon as no
   * other can change it, nobody waits for them.
   */
  async #look(claim: Claim, signal: AbortSignal): Promise<Found> {
    const ended = new AbortController();
    const { promise, resolve, reject } = Promise.withResolvers<Found>();
    const { mayFail } = this.#config;
    const all = this.#vantages.length;
    const failures: NonNullable<Found>[] = [];
    let agreed = 0;
    const note = (found: Found) => {
      if (found === undefined) agreed += 1;
      else failures.push(found);
      if (agreed >= all - mayFail) return resolve(undefined);
      const [first] = failures;
      if (first === undefined || failures.length <= mayFail) return;
      const sides = `${failures.length} of ${all} vantages did not find it, ${mayFail} may`;
      resolve(all === 1 ? first : { ...first, detail: `${first.detail} (${sides})` });
    };
    for (const names of this.#vantages) {
      void this.#lookFrom(names, claim, { signal, ended: ended.signal }).then(note, reject);
    }
    try {
      return await promise;
    } finally {
      ended.abort();
    }
  }

  async #lookFrom(
    names: Names,
    claim: Claim,
    { signal, ended }: { readonly signal: AbortSignal; readonly ended: AbortSignal },
  ): Promise<Found> {
    const late = AbortSignal.timeout(this.#config.timeoutMs);
    const over = AbortSignal.any([signal, ended, late]);
    const facts = { names, guard: this.#guard, config: this.#config, signal: over };
    return await looks[claim.type](claim, facts).catch(() => silent(claim, over, signal));
  }

  async #turn(): Promise<void> {
    this.#running += 1;
    if (this.#running <= mostAtOnce) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

function silent({ identifier }: Claim, over: AbortSignal, signal: AbortSignal): Found {
  if (signal.aborted) throw signal.reason;
  const why = over.aborted ? 'no answer in time' : 'no answer';
  return { type: 'connection', detail: `"${identifier.value}": ${why}`, again: true };
}

function kept(found: Found): KeptProblem | undefined {
  if (found === undefined) return undefined;
  const { type, detail } = found;
  return { type, detail };
}
