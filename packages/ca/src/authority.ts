import { randomInt } from 'node:crypto';
import { CountersignError, type Denial, messageOf } from '@countersign/base';
import {
  authorityPath,
  ChangeSignal,
  type TrustBundle,
  type VerifiedPeer,
} from '@countersign/spiffe';
import type { IssueExplanation, IssueResponse, JoinToken, SignerState } from '@countersign/wire';
import { type Certificate, fingerprintOf } from '@countersign/x509';
import { authorityMetrics, tellNotAfter } from './authority-metrics.ts';
import type { AuthorityKeys, AuthorityParts } from './authority-parts.ts';
import { bundleObject } from './bundle-object.ts';
import type { CaConfig } from './ca-config.ts';
import type { WrittenNames } from './certificate-names.ts';
import { type CreatedToken, createToken, type TokenOrder } from './create-token.ts';
import { type CsrAndWishes, wishes } from './csr-and-wishes.ts';
import { DoorDesk } from './door-desk.ts';
import { type EntryRegistry, entryRegistryOf } from './entries/entry-registry.ts';
import { explainIssue } from './explain/explain-issue.ts';
import { fixedParts } from './fixed-parts.ts';
import { type IssueContext, type Issued, issueCertificate, type Refusal } from './issue.ts';
import { makeIssuers } from './issuer.ts';
import { IssuerStanding } from './issuer-standing.ts';
import { TokenDesk } from './jwt/token-desk.ts';
import { decideNoted } from './ledger/decide-noted.ts';
import type { Ledger } from './ledger/ledger.ts';
import type { BundleReport } from './ledger/rotation-records.ts';
import type { IssuanceLog } from './log/issuance-log.ts';
import {
  keyInForce,
  noIssuerLeft,
  ownAffected,
  revokedIn,
  standingIssuers,
} from './own-issuers.ts';
import { type ImportedList, importList } from './publish/imported-list.ts';
import type { PublishingIssuer } from './publish/publishing-issuer.ts';
import { noKeyLists, openKeyLists } from './requests/key-lists.ts';
import {
  type Caller,
  type EdgeWait,
  type RevokeAnswer,
  type RevokeOrder,
  revoke,
} from './revoke.ts';
import { bundleOf, fingerprintsOf, hierarchyOfParts } from './rotation/authority-bundle.ts';
import { BundleReports } from './rotation/bundle-reports.ts';
import type { HierarchyInForce } from './rotation/hierarchy-in-force.ts';
import type { KeyRotation } from './rotation/key-rotation.ts';
import { nameOf } from './serve/api-call.ts';

export interface IntermediateStatus {
  readonly name: string;
  /** SHA-256 of its DER, lowercase hex. */
  readonly fingerprint: string;
  readonly notAfter: number;
}

/**
 * A certificate authority with its keys opened: each flow by its name, each a story in a file of its own. Refusals are
 * values; what is thrown is a defect or a broken ledger.
 */
export class Authority {
  readonly ledger: Ledger;
  readonly orphans: number;
  readonly entries: EntryRegistry;
  readonly tokens: TokenDesk;
  /** For edges that speak other protocols. */
  readonly doors: DoorDesk;
  readonly issuanceLog: IssuanceLog | undefined;
  /** Undefined where its keys stay what they are: in memory, or given from outside. */
  readonly rotation: KeyRotation | undefined;
  #context: IssueContext;
  /** Name of the intermediate that signed the certificate that it serves with. */
  #ownIssuer: string | undefined;
  #hierarchy: HierarchyInForce;
  #bundle: TrustBundle;
  /** Goes behind every chain, for those who trust another authority's root alone. */
  #superior: readonly Certificate[] = [];
  readonly #publishers = new Map<string, PublishingIssuer>();
  readonly #changes: ChangeSignal;
  readonly #reports: BundleReports;
  readonly #keys: AuthorityKeys | undefined;

  constructor(parts: AuthorityParts) {
    const { config, issuers, ledger, clock, log } = parts;
    parts.trialKeys?.mustBeOf(ledger);
    const metrics = authorityMetrics(parts.meter);
    this.ledger = ledger;
    this.rotation = parts.rotation?.keys;
    this.#hierarchy = parts.rotation?.hierarchy ?? hierarchyOfParts(parts);
    this.#bundle = bundleOf(this.#hierarchy, config, this.rotation);
    this.#keepPublishers();
    this.#changes = new ChangeSignal((thrown) => {
      log.error({ error: messageOf(thrown) }, 'a listener to the hierarchy failed');
    });
    this.#reports = new BundleReports({ ledger, clock, log });
    this.rotation?.onChange((hierarchy) => this.#adopt(hierarchy));
    this.orphans = parts.orphans;
    this.entries = entryRegistryOf(parts);
    this.issuanceLog = parts.issuanceLog;
    this.tokens = new TokenDesk(parts.jwtKeys, () => this.#context);
    this.doors = new DoorDesk(() => this.#context, parts);
    this.#keys = parts.keys;
    this.#context = {
      config,
      issuers,
      authorityKeys: this.#hierarchy.authorityKeys,
      keyLists: parts.keyLists ?? noKeyLists,
      trialKeys: parts.trialKeys,
      rootFingerprint: this.rootFingerprint,
      anchorFingerprints: fingerprintsOf(this.#bundle),
      haltOf: (name) => this.rotation?.haltOf(name),
      overtakenOf: async (name) => this.rotation?.overtakenOf(name),
      standing: new IssuerStanding(ledger),
      ledger,
      entries: this.entries,
      clock,
      random,
      log,
      metrics,
    };
    metrics.orphans.add(parts.orphans);
    tellNotAfter(this.root, issuers, metrics);
    for (const notice of config.notices) log.info({ file: config.file }, notice);
  }

  /** The root that signs now; others may be trusted beside it. */
  get root(): Certificate {
    return this.#hierarchy.root;
  }

  get rootFingerprint(): string {
    return fingerprintOf(this.root);
  }

  /** SHA-256 of every root in the trust bundle. */
  get anchorFingerprints(): ReadonlySet<string> {
    return this.#context.anchorFingerprints;
  }

  get config(): CaConfig {
    return this.#context.config;
  }

  /**
   * Puts the policy of a changed `ca.yaml` in force for requests from now on: `service_certificates`, `profiles` and
   * which of them an intermediate has as default, `policy`, `requests`, and who may do what under `api`. What else
   * differs is refused, and nothing changes.
   *
   * @throws CountersignError ERR_STATE_CONFIG, ERR_POLICY_KEY_LIST
   */
  async reconfigure(config: CaConfig): Promise<void> {
    const differing = fixedParts(config).filter(
      ([, value], i) => value !== fixedParts(this.config)[i]?.[1],
    );
    if (differing.length > 0) {
      const names = differing.map(([name]) => `"${name}"`).join(', ');
      const message = `"${config.file}" has another ${names} than the authority that runs`;
      throw new CountersignError('ERR_STATE_CONFIG', message, {
        fields: { differing: differing.map(([name]) => name) },
        hint: 'restart it for another address, init a new directory for another hierarchy',
      });
    }
    const issuers = makeIssuers(this.#context.issuers, this.root, config);
    this.rotation?.reconfigure(config);
    const keyLists = await openKeyLists(config.requests, this.#context);
    this.#context = { ...this.#context, config, issuers, keyLists };
  }

  /** A first certificate, under the names of a one-time token. Refusals as of {@link issueCertificate}. */
  enrol(request: CsrAndWishes & { readonly token: JoinToken }): Promise<Issued | Refusal> {
    const { token } = request;
    const grant = { by: 'token', token } as const;
    const question = { asked: 'issue', subject: `token ${token.id}`, by: 'anonymous' } as const;
    return decideNoted(this.ledger, question, () =>
      issueCertificate({ ...wishes(request), grant }, this.#context),
    );
  }

  /** A further certificate under the names of the one that the peer presented; without a request for the same key. */
  renew(
    request: Partial<CsrAndWishes> & { readonly peer: VerifiedPeer },
  ): Promise<Issued | Refusal> {
    const { peer, csr = peer, ...wished } = request;
    const by = nameOfPeer(peer);
    return decideNoted(this.ledger, { asked: 'renew', subject: by, by }, () =>
      issueCertificate({ ...wished, csr, grant: { by: 'peer', peer } }, this.#context),
    );
  }

  /** By order of whoever holds the state; without names, under those of the request. */
  issue(request: CsrAndWishes & WrittenNames): Promise<Issued | Refusal> {
    const grant = { by: 'operator', names: request } as const;
    const question = { asked: 'issue', subject: request.spiffeId, by: 'operator' } as const;
    return decideNoted(this.ledger, question, () =>
      issueCertificate({ ...wishes(request), grant }, this.#context),
    );
  }

  /** By order of a peer whom `api.registrars` names, for others; as {@link issue}, within the policy for that caller. */
  order(
    request: CsrAndWishes & WrittenNames & { readonly peer: VerifiedPeer },
  ): Promise<Issued | Refusal> {
    const { peer } = request;
    const grant = { by: 'registrar', peer, names: request } as const;
    const question = { asked: 'issue', subject: request.spiffeId, by: nameOfPeer(peer) } as const;
    return decideNoted(this.ledger, question, () =>
      issueCertificate({ ...wishes(request), grant }, this.#context),
    );
  }

  /** What {@link issue} would answer, with every reason at once: nothing is ordered, nothing noted. */
  explain(request: CsrAndWishes & WrittenNames): Promise<IssueExplanation> {
    const grant = { by: 'operator', names: request } as const;
    return explainIssue({ ...wishes(request), grant }, this.#context);
  }

  /** The authority's own TLS certificate: {@link ownSpiffeId} and these names, within its issuer's constraints. */
  issueOwn(request: CsrAndWishes & Omit<WrittenNames, 'spiffeId'>): Promise<Issued | Refusal> {
    const { csr, ttlMs, dns, ip } = request;
    const names = { dns, ip, spiffeId: this.ownSpiffeId };
    const question = { asked: 'issue', subject: names.spiffeId, by: 'authority' } as const;
    return decideNoted(this.ledger, question, async () => {
      const standing = await standingIssuers(this.#context.issuers, this.ledger);
      const issuers = standing.length > 0 ? standing : this.#context.issuers;
      const grant = { by: 'authority', names } as const;
      const issued = await issueCertificate({ csr, ttlMs, grant }, { ...this.#context, issuers });
      if (issued.ok) this.#ownIssuer = issued.issuer;
      const isBlocked = !issued.ok && issued.code === 'ERR_LEDGER_BLOCKED';
      return isBlocked ? noIssuerLeft(issued, issuers) : issued;
    });
  }

  /** Which of these certificates of the authority's own is revoked, and whether another intermediate can sign anew. */
  async judgeOwn(
    chain: readonly Certificate[],
  ): Promise<{ readonly revoked: Certificate | undefined; readonly canRenew: boolean }> {
    const revoked = await revokedIn(chain.toReversed(), this.ledger);
    if (revoked === undefined) return { revoked, canRenew: true };
    const standing = await standingIssuers(this.#context.issuers, this.ledger);
    return { revoked, canRenew: standing.length > 0 };
  }

  /** Has a list published that was signed elsewhere: that of a root which is offline. Denials: ERR_PUBLISH_IMPORT. */
  importList(bytes: Uint8Array): Promise<ImportedList | Denial> {
    const { clock } = this.#context;
    const question = { asked: 'import', subject: 'revocation list', by: 'operator' } as const;
    const parts = { issuers: this.publishers(), ledger: this.ledger, clock, by: 'operator' };
    return decideNoted(this.ledger, question, () => importList(bytes, parts));
  }

  createToken(order: TokenOrder): Promise<CreatedToken | Denial> {
    const question = { asked: 'token', subject: order.spiffeId, by: 'operator' } as const;
    return decideNoted(this.ledger, question, () => createToken(order, this.#context));
  }

  revoke(order: RevokeOrder, caller: Caller, wait?: EdgeWait): Promise<RevokeAnswer> {
    const question = {
      asked: 'revoke',
      subject: `${order.by} ${order.value}`,
      by: nameOf(caller),
    } as const;
    const context = { ...this.#context, issuers: this.publishers() };
    return decideNoted(this.ledger, question, async () => {
      const answer = await revoke(order, caller, context, wait);
      if (!answer.ok) return answer;
      const { value } = answer;
      const meant = { ...order, value, block: order.block ?? false, orderedBy: question.by };
      const { issuers } = this.#context;
      const own = await ownAffected(meant, this.#ownIssuer, issuers, this.ledger);
      const inForce = keyInForce(meant, issuers);
      return {
        ...answer,
        ...(own !== undefined && { own }),
        ...(inForce !== undefined && { inForce }),
      };
    });
  }

  /**
   * Who signs lists and answers about revocation: every key of the root and of every intermediate. An entry is the same
   * object for as long as the authority is open; its certificate may be replaced.
   */
  publishers(): readonly PublishingIssuer[] {
    return [...this.#publishers.values()];
  }

  /** Told when a key of the hierarchy was replaced, or the trust bundle changed. */
  onChange(listener: () => void): () => void {
    return this.#changes.onChange(listener);
  }

  /** What the holder of a certificate said of its trust bundle; kept while a key is being replaced. */
  async noteBundle(report: BundleReport): Promise<void> {
    if (this.rotation?.isUnderWay === true) await this.#reports.note(report);
  }

  get ownSpiffeId(): string {
    return `spiffe://${this.config.trustDomain}${authorityPath}`;
  }

  /** Roots of our own trust domain. */
  bundle(): TrustBundle {
    return this.tokens.bundleWith(this.#bundle);
  }

  intermediates(): readonly IntermediateStatus[] {
    return this.#context.issuers.map(({ name, certificate }) => ({
      name,
      fingerprint: fingerprintOf(certificate),
      notAfter: certificate.notAfter,
    }));
  }

  /** Whether a peer may follow the feed under a lease (`api.gateways`): others wait for leases before they call it done. */
  mayHoldLease(peer: VerifiedPeer): boolean {
    const id = peer.spiffeId?.toString();
    return (
      id !== undefined &&
      this.config.api.gateways.some((pattern) =>
        pattern.endsWith('*') ? id.startsWith(pattern.slice(0, -1)) : id === pattern,
      )
    );
  }

  /** The answer that the API gives. */
  issueResponseOf(issued: Issued): IssueResponse {
    return {
      ...(issued.spiffeId === undefined ? {} : { spiffeId: issued.spiffeId }),
      serial: issued.serialHex,
      notAfter: issued.notAfter,
      chain: issued.chain,
      ...this.issueResponseParts(),
    };
  }

  /** What all answers that hold certificates have in common. */
  issueResponseParts(): Pick<IssueResponse, 'bundle' | 'trustDomain'> {
    return { bundle: bundleObject(this.bundle()), trustDomain: this.config.trustDomain };
  }

  /** Stores of its keys that could be away, and what is wrong with them now; files are not among them. */
  signers(): readonly SignerState[] {
    return this.#keys?.report() ?? [];
  }

  /** What keeps it from issuing, or from logging what it issues, or undefined: for health checks. */
  unwell(): string | undefined {
    const { rotation, issuanceLog } = this;
    return this.#keys?.finding()?.detail ?? rotation?.failure ?? issuanceLog?.unwell;
  }

  #adopt(hierarchy: HierarchyInForce): void {
    const { config, metrics } = this.#context;
    const { root, pairs, authorityKeys } = hierarchy;
    const superior = this.#superior;
    const led = pairs.map((each) => ({ ...each, behind: [...(each.behind ?? []), ...superior] }));
    const issuers = makeIssuers(led, root, config);
    this.#hierarchy = hierarchy;
    this.#bundle = bundleOf(hierarchy, config, this.rotation);
    const { rootFingerprint } = this;
    const anchorFingerprints = fingerprintsOf(this.#bundle);
    const changed = { issuers, authorityKeys, rootFingerprint, anchorFingerprints };
    this.#context = { ...this.#context, ...changed };
    if (this.rotation?.isUnderWay !== true) this.#reports.forget();
    this.#keepPublishers();
    tellNotAfter(root, issuers, metrics);
    this.#changes.notify();
  }

  /** From now on every chain goes on with these: our root's key as another authority certified it. */
  standBehind(superior: readonly Certificate[]): void {
    this.#superior = superior;
    this.#adopt(this.#hierarchy);
  }

  #keepPublishers(): void {
    for (const each of this.#hierarchy.publishers) {
      const known = this.#publishers.get(each.name);
      if (known === undefined) this.#publishers.set(each.name, { ...each });
      else Object.assign(known, each);
    }
  }

  /** Commits what is under way and lets the ledger and the stores of keys go. */
  async close(): Promise<void> {
    await this.issuanceLog?.close();
    await this.tokens.keys?.stop();
    await this.ledger.close();
    await this.#keys?.close();
  }
}

function nameOfPeer(peer: VerifiedPeer): string {
  return peer.spiffeId?.toString() ?? `serial ${peer.serialHex}`;
}

function random(): number {
  return randomInt(2 ** 32) / 2 ** 32;
}
