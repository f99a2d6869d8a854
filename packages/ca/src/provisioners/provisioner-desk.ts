import { hash } from 'node:crypto';
import { type Clock, type Denial, denial, type Secret } from '@countersign/base';
import type { Authority } from '../authority.ts';
import { KeySets } from '../bearer/key-sets.ts';
import { readJwt, type UnverifiedJwt } from '../bearer/read-jwt.ts';
import { formatNames, writtenNames } from '../certificate-names.ts';
import type { Issued } from '../issue.ts';
import { decideNoted } from '../ledger/decide-noted.ts';
import { globMatches } from '../policy/text-glob.ts';
import { RateLimiter } from '../serve/rate-limiter.ts';
import { namesOfToken } from './names-of-token.ts';
import {
  longestOneTimeMs,
  type ProvedToken,
  proveToken,
  textOf,
  wrongWithClaims,
} from './prove-token.ts';
import type { ProvisionerConfig } from './provisioner-config.ts';

export interface ProvisionerOrder {
  readonly token: Secret<string>;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  readonly ttlMs?: number | undefined;
}

/** Certificates for tokens of other issuers, by what `provisioners` of ca.yaml says now. */
export class ProvisionerDesk {
  readonly #authority: Authority;
  readonly #clock: Clock;
  readonly #keySets = new Map<string, KeySets>();
  readonly #limits = new Map<string, RateLimiter>();

  constructor(authority: Authority, clock: Clock) {
    this.#authority = authority;
    this.#clock = clock;
  }

  /**
   * From a token to a certificate under the names that it gives, within the policy for its provisioner.
   *
   * Denials: ERR_JWT_FORM, ERR_JWT_ALGORITHM, ERR_PROVISIONER_*, and those of the authority.
   *
   * @throws CountersignError ERR_PROVISIONER_FILE, ERR_JWT_KEYS
   */
  enrol(order: ProvisionerOrder): Promise<Issued | Denial> {
    const { ledger } = this.#authority;
    const question = {
      asked: 'issue',
      subject: 'token of another issuer',
      by: 'anonymous',
    } as const;
    return decideNoted(ledger, question, () => this.#enrol(order));
  }

  async #enrol({ token: written, csr, ttlMs }: ProvisionerOrder): Promise<Issued | Denial> {
    // 1. Whose it is, and that it is.
    const token = readJwt(written.reveal());
    if (!token.ok) return token;
    const found = await this.#prove(token);
    if (!found.ok) return found;
    const { provisioner, proved } = found;
    const { name, intermediate: issuer, profile, lifetimeMs } = provisioner;

    // 2. Which names it gives, and whether anybody of that provisioner may have them: a token is not spent in vain.
    const named = namesOfToken(provisioner, proved);
    if (!named.ok) return named;
    const names = writtenNames(formatNames(named.names));
    const sub = (textOf(proved.jwt.claims.sub) ?? '').replaceAll(/[\s*]/g, '_').slice(0, 120);
    const caller = `${provisioner.type}:${name}/${sub === '' ? 'none' : sub}`;
    const judged = this.#authority.doors.judgeNames(names, { provisioner: name, caller }, profile);
    if (judged !== undefined) return judged;

    // 3. Not too often, and a one-time token once.
    const waitSeconds = this.#limit(provisioner).take(name);
    if (waitSeconds !== undefined) {
      const sides = `provisioner "${name}" may order ${provisioner.requestsPerHour} an hour`;
      return denial('ERR_PROVISIONER_RATE', `${sides}, again in ${waitSeconds} s`, {
        retryAfterS: waitSeconds,
      });
    }
    const spent = await this.#spend(provisioner, token);
    if (spent !== undefined) return spent;

    // 4. The certificate, by the one flow; no longer than the provisioner says.
    const wishedMs = ttlMs === undefined ? lifetimeMs : Math.min(ttlMs, lifetimeMs ?? ttlMs);
    const id = textOf(proved.jwt.claims.jti)?.slice(0, 80);
    const evidence = `${provisioner.type} token of "${provisioner.issuer}" for "${sub}"${id === undefined ? '' : `, jti "${id}"`}`;
    const wishes = { csr, issuer, profile, ttlMs: wishedMs };
    return this.#authority.doors.vouch({
      ...wishes,
      ...names,
      provisioner: name,
      caller,
      evidence,
    });
  }

  /** The first provisioner of that issuer whose demands it meets; the last one's reason where none does. */
  async #prove(
    token: UnverifiedJwt,
  ): Promise<
    | { readonly ok: true; readonly provisioner: ProvisionerConfig; readonly proved: ProvedToken }
    | Denial
  > {
    const issuer = textOf(token.claims.iss) ?? '';
    let refused: Denial | undefined;
    for (const provisioner of this.#authority.config.provisioners) {
      if (provisioner.issuer !== issuer) continue;
      const keySets = this.#keysFor(provisioner);
      const proved = await proveToken(provisioner, token, { keySets, clock: this.#clock });
      const wrong = proved.ok
        ? wrongWithClaims(provisioner, proved.jwt.claims, globMatches)
        : proved;
      if (proved.ok && wrong === undefined) return { ok: true, provisioner, proved };
      refused = wrong;
    }
    const shown = issuer.slice(0, 200);
    return (
      refused ?? denial('ERR_PROVISIONER_UNKNOWN', `no provisioner takes tokens of "${shown}"`)
    );
  }

  /** Durable before anything is ordered: should what follows fail, the token is spent. */
  async #spend(
    { type, name }: ProvisionerConfig,
    { signed, claims }: UnverifiedJwt,
  ): Promise<Denial | undefined> {
    if (type !== 'jwk' && type !== 'x5c') return undefined;
    // By its identifier where it has one: the same token can be signed in several ways.
    const id = hash('sha256', JSON.stringify([name, textOf(claims.jti) ?? signed]));
    const change = {
      ...{ kind: 'provisioner-token', id, replaces: 0, body: '{}' },
      expiresAt: this.#clock.now() + 2 * longestOneTimeMs,
    };
    const kept = await this.#authority.ledger.changeEdge([change]);
    return kept.ok
      ? undefined
      : denial('ERR_PROVISIONER_USED', `one-time token for provisioner "${name}" was used before`);
  }

  #keysFor({ name, allow }: ProvisionerConfig): KeySets {
    const id = JSON.stringify([name, allow]);
    const known = this.#keySets.get(id) ?? new KeySets({ allow, clock: this.#clock });
    this.#keySets.set(id, known);
    return known;
  }

  #limit({ name, requestsPerHour }: ProvisionerConfig): RateLimiter {
    const id = JSON.stringify([name, requestsPerHour]);
    const known = this.#limits.get(id) ?? new RateLimiter(this.#clock, requestsPerHour);
    this.#limits.set(id, known);
    return known;
  }
}
