import { hash } from 'node:crypto';
import {
  type Clock,
  CountersignError,
  type Denial,
  denial,
  equalBytes,
  formatDuration,
  type Secret,
} from '@countersign/base';
import type { KeyProof, TpmChallenge, TpmChallengeRequest } from '@countersign/wire';
import { parseCertificateRequest } from '@countersign/x509';
import type { Authority } from '../authority.ts';
import { KeySets } from '../bearer/key-sets.ts';
import { formatNames, namesOf, writtenNames } from '../certificate-names.ts';
import type { Issued } from '../issue.ts';
import { whileAskedBy, whoAsks } from '../ledger/asked.ts';
import { globMatches } from '../policy/text-glob.ts';
import { type IssueLine, noLine } from '../serve/issue-line.ts';
import { RateLimiter } from '../serve/rate-limiter.ts';
import { textOf } from './claim-text.ts';
import { namesOfToken } from './names-of-token.ts';
import { proveDocument } from './prove-document.ts';
import { longestOneTimeMs, type ProvedToken, proveToken, wrongWithClaims } from './prove-token.ts';
import { proveTpm } from './prove-tpm.ts';
import { type ProvisionerConfig, takes } from './provisioner-config.ts';
import { type Evidence, readEvidence } from './read-evidence.ts';
import { TpmChallenges } from './tpm-challenges.ts';

export interface ProvisionerOrder {
  /** A JWT, a document of AWS or Azure, or what a TPM states. */
  readonly token: Secret<string>;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  readonly ttlMs?: number | undefined;
  readonly proof?: KeyProof | undefined;
  /** Whoever asks can use no certificate without a SPIFFE ID. */
  readonly needsSpiffeId?: boolean;
  /** Aborted where the client has left. */
  readonly left?: (() => AbortSignal) | undefined;
}

/** What came to light on the way, for the audit trail. */
interface Seen {
  provisioner?: string;
  caller?: string;
  evidence?: string;
}

interface Admitted {
  readonly provisioner: ProvisionerConfig;
  readonly proved: ProvedToken;
  readonly shown: Evidence;
}

/** Of one address; each costs an encryption. */
const challengesPerHour = 3600;

/** A machine that came is remembered so long: longer than any of them runs. */
const instanceKeptMs = 20 * 366 * 86_400_000;

/** Certificates for tokens of other issuers, by what `provisioners` of ca.yaml says now. */
export class ProvisionerDesk {
  readonly #authority: Authority;
  readonly #clock: Clock;
  readonly #keySets = new Map<string, KeySets>();
  readonly #limits = new Map<string, RateLimiter>();
  readonly #challenges: TpmChallenges;
  readonly #challengers: RateLimiter;

  constructor(authority: Authority, clock: Clock) {
    this.#authority = authority;
    this.#clock = clock;
    this.#challenges = new TpmChallenges(authority.ledger, clock);
    this.#challengers = new RateLimiter(clock, challengesPerHour);
  }

  /**
   * A credential for a TPM, whoever asks for it: it proves nothing until it comes back opened.
   *
   * Denials: ERR_PROVISIONER_UNKNOWN where no provisioner takes TPMs, ERR_PROVISIONER_RATE.
   *
   * @throws CountersignError ERR_TPM_FORM, ERR_TPM_UNSUPPORTED
   */
  async challengeTpm(
    request: TpmChallengeRequest,
    address: string,
  ): Promise<{ readonly ok: true; readonly challenge: TpmChallenge } | Denial> {
    if (!this.#authority.config.provisioners.some(({ type }) => type === 'tpm')) {
      return denial('ERR_PROVISIONER_UNKNOWN', 'no provisioner takes TPMs');
    }
    const retryAfterS = this.#challengers.take(address);
    if (retryAfterS !== undefined) {
      const sides = `"${address}" may ask for ${challengesPerHour} challenges an hour`;
      return denial('ERR_PROVISIONER_RATE', sides, { retryAfterS });
    }
    return { ok: true, challenge: await this.#challenges.make(request) };
  }

  /**
   * From a token to a certificate under the names that it gives, within the policy for its provisioner. Who is proved
   * waits in line; proving takes no place there, since another issuer may be long in giving its keys.
   *
   * Denials: ERR_JWT_FORM, ERR_JWT_ALGORITHM, ERR_PROVISIONER_*, ERR_API_BUSY, and those of the authority.
   *
   * @throws CountersignError ERR_PROVISIONER_FILE, ERR_JWT_KEYS
   */
  async enrol(order: ProvisionerOrder, line: IssueLine = noLine): Promise<Issued | Denial> {
    const seen: Seen = {};
    const judged = await this.#judge(order, seen);
    const { caller = 'anonymous' } = seen;
    return await whileAskedBy({ ...whoAsks(), by: caller }, async () => {
      if (!judged.ok) return this.#refuse(judged, seen);
      const { left } = order;
      return await line.serve({ holder: caller, ...(left && { left }) }, async () => {
        const refused = await this.#claim(judged.admitted);
        if (refused !== undefined) return this.#refuse(refused, seen);
        return await this.#authority.doors.vouch(judged.request);
      });
    });
  }

  /**
   * Whether a one-time token lets its holder revoke that certificate: it is for that serial number, and its provisioner
   * is the one that the certificate was issued by.
   *
   * Denials: ERR_JWT_FORM, ERR_JWT_ALGORITHM, ERR_PROVISIONER_*.
   */
  async entitledToRevoke({
    token,
    serialHex,
  }: {
    readonly token: Secret<string>;
    readonly serialHex: string;
  }): Promise<{ readonly ok: true; readonly caller: string } | Denial> {
    const shown = readEvidence(token.reveal());
    if (!shown.ok) return shown;
    const record = await this.#authority.ledger.certificate(serialHex);
    const provisioner = this.#authority.config.provisioners.find(
      ({ type, name }) => (type === 'jwk' || type === 'x5c') && name === record?.provisioner,
    );
    if (shown.kind !== 'jwt' || provisioner === undefined) {
      const sides = `certificate "${serialHex}" was issued by no provisioner of one-time tokens`;
      return denial('ERR_PROVISIONER_UNKNOWN', sides);
    }
    const audiences = provisioner.audiences.map((each) => each.replace(/\/sign$/, '/revoke'));
    const parts = { keySets: this.#keysFor(provisioner), clock: this.#clock };
    const proved = await proveToken({ ...provisioner, audiences }, shown.token, parts);
    if (!proved.ok) return proved;
    const { subject } = proved;
    if (!/^\d{1,49}$/.test(subject) || BigInt(subject) !== BigInt(`0x${serialHex}`)) {
      const sides = `is for "${subject.slice(0, 80)}", serial "${BigInt(`0x${serialHex}`)}" is to be revoked`;
      return denial(
        'ERR_PROVISIONER_CLAIMS',
        `token for provisioner "${provisioner.name}" ${sides}`,
      );
    }
    const spent = await this.#spend(provisioner, proved, shown);
    return spent ?? { ok: true, caller: callerOf(provisioner, subject) };
  }

  #refuse(refused: Denial, { provisioner, evidence = 'token of another issuer' }: Seen): Denial {
    const { code, detail } = refused;
    const refusal = { asked: 'issue', subject: evidence, provisioner, code, detail };
    this.#authority.ledger.noteRefusal(refusal);
    return refused;
  }

  async #judge(order: ProvisionerOrder, seen: Seen) {
    const { token: written, csr, ttlMs, proof, needsSpiffeId = false } = order;
    // 1. Whose it is, and that it is.
    const shown = readEvidence(written.reveal());
    if (!shown.ok) return shown;
    const found = await this.#prove(shown, csr, seen);
    if (!found.ok) return found;
    const { provisioner, proved } = found;
    const { name, intermediate: issuer, profile, lifetimeMs } = provisioner;
    const { evidence } = proved;
    const caller = callerOf(provisioner, proved.subject);
    Object.assign(seen, { provisioner: name, caller, evidence });

    // 2. Which names it gives, and whether anybody of that provisioner may have them: a token is not spent in vain.
    const named = namesOfToken(provisioner, proved);
    if (!named.ok) return named;
    const names = writtenNames(formatNames(named.names));
    if (needsSpiffeId && names.spiffeId === undefined) {
      const gives = `gives "${formatNames(named.names).join('", "').slice(0, 200)}" and no SPIFFE ID`;
      const sides = `${gives}, an identity needs one: ${spiffeIdFrom(provisioner, proved)}`;
      return denial('ERR_PROVISIONER_CLAIMS', `provisioner "${name}" ${sides}`);
    }
    const judged = this.#authority.doors.judgeNames(names, { provisioner: name, caller }, profile);
    if (judged !== undefined) return judged;

    // 3. The certificate that is ordered; no longer than the provisioner says.
    const wishedMs = ttlMs === undefined ? lifetimeMs : Math.min(ttlMs, lifetimeMs ?? ttlMs);
    const by = { provisioner: name, caller, evidence };
    const request = { csr, issuer, profile, ttlMs: wishedMs, proof, ...names, ...by };
    return { ok: true, request, admitted: { provisioner, proved, shown } } as const;
  }

  /** Not too often, and what is good for one certificate once. */
  async #claim({ provisioner, proved, shown }: Admitted): Promise<Denial | undefined> {
    const { name } = provisioner;
    const waitSeconds = this.#limit(provisioner).take(name);
    if (waitSeconds === undefined) return await this.#spend(provisioner, proved, shown);
    const sides = `provisioner "${name}" may order ${provisioner.requestsPerHour} an hour`;
    return denial('ERR_PROVISIONER_RATE', `${sides}, again in ${waitSeconds} s`, {
      retryAfterS: waitSeconds,
    });
  }

  /** The first provisioner that takes it whose demands it meets; where none does, the reason of the nearest. */
  async #prove(
    shown: Evidence,
    csr: Uint8Array,
    seen: Seen,
  ): Promise<
    | { readonly ok: true; readonly provisioner: ProvisionerConfig; readonly proved: ProvedToken }
    | Denial
  > {
    const issuer = shown.kind === 'jwt' ? (textOf(shown.token.claims.iss) ?? '') : undefined;
    let nearest: { readonly refused: Denial; readonly met: number } | undefined;
    for (const provisioner of this.#authority.config.provisioners) {
      if (takes(provisioner) !== shown.kind) continue;
      if (issuer !== undefined && provisioner.issuer !== issuer) continue;
      const proved = await this.#proveBy(provisioner, shown, csr);
      const refused = proved.ok ? this.#wrongWith(provisioner, proved) : proved;
      if (proved.ok && refused === undefined) return { ok: true, provisioner, proved };
      const met = refused === undefined ? 0 : demandsMet(provisioner, refused);
      if (refused === undefined || met <= (nearest?.met ?? -1)) continue;
      nearest = { refused, met };
      seen.provisioner = provisioner.name;
      if (!proved.ok) continue;
      // Whoever made it is known, though it is not what was asked for.
      const caller = callerOf(provisioner, proved.subject);
      Object.assign(seen, { caller, evidence: proved.evidence });
    }
    if (nearest !== undefined) return nearest.refused;
    const what =
      issuer === undefined ? `documents of ${shown.kind}` : `tokens of "${issuer.slice(0, 200)}"`;
    return denial('ERR_PROVISIONER_UNKNOWN', `no provisioner takes ${what}`);
  }

  async #proveBy(
    provisioner: ProvisionerConfig,
    shown: Evidence,
    csr: Uint8Array,
  ): Promise<ProvedToken | Denial> {
    if (shown.kind === 'jwt') {
      const keySets = this.#keysFor(provisioner);
      const proved = await proveToken(provisioner, shown.token, { keySets, clock: this.#clock });
      return proved.ok ? ((await this.#ownCertificate(provisioner, proved)) ?? proved) : proved;
    }
    try {
      const { raw: spki } = parseCertificateRequest(csr).spki;
      if (shown.kind === 'tpm') {
        const asked = { at: this.#clock.now(), spki, challenges: this.#challenges };
        return await proveTpm(provisioner, shown.said, asked);
      }
      return await proveDocument(provisioner, shown, { at: this.#clock.now(), spki });
    } catch (thrown) {
      const isRequest = thrown instanceof CountersignError && /^ERR_(?:DER|CSR)_/.test(thrown.code);
      if (!isRequest) throw thrown;
      return denial(thrown.code, thrown.message, thrown.fields);
    }
  }

  /** What is ours is renewed: there its revocation and its proof key are asked about. */
  async #ownCertificate(
    { name }: ProvisionerConfig,
    { certificate }: ProvedToken,
  ): Promise<Denial | undefined> {
    if (certificate === undefined) return undefined;
    const record = await this.#authority.ledger.certificate(certificate.serialHex);
    if (record === undefined || !equalBytes(record.der, certificate.raw)) return undefined;
    const found = `certificate "${certificate.serialHex}" is of this authority`;
    const sides = `${found}, provisioner "${name}" takes those of another: renew it instead`;
    return denial('ERR_PROVISIONER_TOKEN', sides);
  }

  #wrongWith(provisioner: ProvisionerConfig, proved: ProvedToken): Denial | undefined {
    const wrong = wrongWithClaims(provisioner, proved.claims, globMatches);
    const { maxInstanceAgeMs: longestMs, name } = provisioner;
    if (wrong !== undefined || longestMs === undefined) return wrong;
    const { madeAt } = proved.instance ?? {};
    const ageMs = madeAt === undefined ? undefined : this.#clock.now() - madeAt;
    if (ageMs !== undefined && ageMs <= longestMs) return undefined;
    const age = ageMs === undefined ? 'of unknown age' : `${formatDuration(ageMs)} old`;
    const sides = `the machine is ${age}, provisioner "${name}" takes those of ${formatDuration(longestMs)}`;
    return denial('ERR_PROVISIONER_CLAIMS', sides);
  }

  /** Durable before anything is ordered: should what follows fail, it is spent. */
  async #spend(
    provisioner: ProvisionerConfig,
    { claims, instance }: ProvedToken,
    shown: Evidence,
  ): Promise<Denial | undefined> {
    const { type, name, isReusable } = provisioner;
    const isOneTime = type === 'jwk' || type === 'x5c';
    if (!isOneTime && (instance === undefined || isReusable)) return undefined;
    // A token by its identifier where it has one: the same token can be signed in several ways.
    const signed = shown.kind === 'jwt' ? shown.token.signed : '';
    const what = instance === undefined ? (textOf(claims.jti) ?? signed) : `machine ${instance.id}`;
    const id = hash('sha256', JSON.stringify([name, what]));
    const keptMs = instance === undefined ? 2 * longestOneTimeMs : instanceKeptMs;
    const change = {
      ...{ kind: 'provisioner-token', id, replaces: 0, body: '{}' },
      expiresAt: this.#clock.now() + keptMs,
    };
    const kept = await this.#authority.ledger.changeEdge([change]);
    if (kept.ok) return undefined;
    const told =
      instance === undefined
        ? `one-time token for provisioner "${name}" was used before`
        : `${instance.what ?? 'machine'} "${instance.id.slice(0, 200)}" came to provisioner "${name}" before`;
    return denial('ERR_PROVISIONER_USED', told);
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

/** How far it got: not even proved, so many claims, or all of them. */
function demandsMet({ claims }: ProvisionerConfig, { code, fields }: Denial): number {
  if (code !== 'ERR_PROVISIONER_CLAIMS') return 0;
  const at = claims.findIndex(({ name }) => name === fields?.claim);
  return 1 + (at === -1 ? claims.length : at);
}

/** Where the SPIFFE IDs of a provisioner come from. */
function spiffeIdFrom({ type }: ProvisionerConfig, { certificate }: ProvedToken): string {
  const elsewhere = 'or ask by the step door, whose certificates need none';
  const has = namesOf(certificate?.subjectAltNames ?? []);
  if (has.ok && has.names.spiffeId !== undefined) {
    const own = `${has.names.spiffeId}`.slice(0, 200);
    return `the certificate has "${own}", name it in "sans" of the token too, ${elsewhere}`;
  }
  if (type === 'x5c') return `show a certificate that has one, ${elsewhere}`;
  if (type === 'jwk') return `name one in "sans" of the token, ${elsewhere}`;
  return 'give the provisioner a "spiffe_id" in ca.yaml';
}

/** As rules and the audit trail know whoever holds a token. */
function callerOf({ type, name }: ProvisionerConfig, subject: string): string {
  const written = subject.replaceAll(/[\s*]/g, '_').slice(0, 200);
  return `${type}:${name}/${written === '' ? 'none' : written}`;
}
