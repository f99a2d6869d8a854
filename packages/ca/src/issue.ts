import { hash } from 'node:crypto';
import {
  type Clock,
  CountersignError,
  type Denial,
  denial,
  type Log,
  messageOf,
} from '@countersign/base';
import { VerifiedPeer } from '@countersign/spiffe';
import type { KeyProof } from '@countersign/wire';
import { type CertificateRequest, parseCertificateRequest } from '@countersign/x509';
import type { AuthorityMetrics } from './authority-metrics.ts';
import type { CaConfig } from './ca-config.ts';
import { formatNames } from './certificate-names.ts';
import { decideIssue } from './decide-issue.ts';
import { draftService } from './draft.ts';
import type { EntryRegistry } from './entries/entry-registry.ts';
import { type IssueGrant, readGrant } from './issue-grant.ts';
import type { Issuer } from './issuer.ts';
import { type IssuerStanding, issuerOfLeaf } from './issuer-standing.ts';
import type { Intent, Ledger } from './ledger/ledger.ts';
import { lintDraft } from './linted-draft.ts';
import { firstAnswer } from './policy/judgement.ts';
import type { UsageWish } from './profile/narrow-usages.ts';
import { proveKey } from './proof/prove-key.ts';
import { requestOfPeer } from './request-of-peer.ts';
import { judgeRequestKey } from './request-policy.ts';
import type { KeyLists } from './requests/key-lists.ts';
import type { TrialKeys } from './requests/trial-keys.ts';
import { signDraft } from './sign-draft.ts';

export interface IssueRequest {
  /** PKCS #10, DER; or a peer, for the key of its certificate: its handshake proved that it holds it. */
  readonly csr: Uint8Array | VerifiedPeer;
  /** Absent: the policy's default; for a renewal, the lifetime that its certificate had. */
  readonly ttlMs?: number | undefined;
  /** From when it is valid, where that is later than now. */
  readonly beginsAt?: number | undefined;
  /** Name of the profile; absent: the one that its certificate was asked for by, else the one for such a request. */
  readonly profile?: string | undefined;
  /** Name of the intermediate that signs; absent: that of the renewed certificate, else the first that admits the names. */
  readonly issuer?: string | undefined;
  /** The word of a long-term key for the request: what is issued belongs to it, and is renewed with it alone. */
  readonly proof?: KeyProof | undefined;
  /** Fewer usages than the profile has, such as those of a role. */
  readonly usages?: UsageWish | undefined;
  readonly grant: IssueGrant;
}

export interface Issued {
  readonly ok: true;
  readonly spiffeId: string | undefined;
  readonly serialHex: string;
  readonly notAfter: number;
  /** DER, leaf first, without the root. */
  readonly chain: readonly [Uint8Array, Uint8Array, ...Uint8Array[]];
  /** Name of the intermediate that signed. */
  readonly issuer: string;
  readonly provisioner: string;
  /** Ledger position of the intent; it is in the serial too. */
  readonly position: number;
}

export type Refusal = Denial;

export interface IssueContext {
  readonly config: CaConfig;
  readonly issuers: readonly Issuer[];
  /** SubjectPublicKeyInfo of the root and of every intermediate. */
  readonly authorityKeys: readonly Uint8Array[];
  readonly keyLists: KeyLists;
  /** Of an authority for trials alone. */
  readonly trialKeys?: TrialKeys | undefined;
  /** Of the root that signs now: join tokens pin it. */
  readonly rootFingerprint: string;
  /** Of every root in the trust bundle. */
  readonly anchorFingerprints: ReadonlySet<string>;
  /** Why nothing may be signed by a key, by its name in the ledger. */
  readonly haltOf?: ((ledgerName: string) => Denial | undefined) | undefined;
  /** The same once the ledger was waited for, which is asked again before it is refused. */
  readonly overtakenOf?: ((ledgerName: string) => Promise<Denial | undefined>) | undefined;
  readonly standing: IssuerStanding;
  readonly ledger: Ledger;
  readonly entries: Pick<EntryRegistry, 'grants'>;
  readonly clock: Clock;
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: AuthorityMetrics;
}

/**
 * From a request to a certificate that the ledger has, or the reason why not.
 *
 * Refusals: ERR_DER_*, ERR_CSR_*, ERR_POLICY_*, ERR_TOKEN_*, ERR_RENEW_FOREIGN, ERR_LEDGER_BLOCKED, ERR_LEDGER_REVOKED,
 * ERR_LEDGER_NEEDS_TOKEN, ERR_PROOF_*, ERR_LEDGER_CERTIFICATE_UNKNOWN, ERR_ROTATION_BEHIND, ERR_ROTATION_NO_ISSUER.
 *
 * @throws CountersignError ERR_LINT, ERR_SIGNER, ERR_LEDGER_FAILED: nothing was handed out
 */
export async function issueCertificate(
  request: IssueRequest,
  context: IssueContext,
): Promise<Issued | Refusal> {
  const { clock, metrics } = context;
  const started = clock.monotonic();
  let result = 'ERR_INTERNAL';
  try {
    let outcome = await issueInSteps(request, context);
    if (isOfBlockedIssuer(outcome) && request.grant.by !== 'authority') {
      // Another process has blocked it a moment ago: decided anew, with that known.
      context.standing.forget();
      outcome = await issueInSteps(request, context);
    }
    result = outcome.ok ? 'issued' : outcome.code;
    tell(outcome, request, context);
    return outcome;
  } catch (thrown) {
    if (thrown instanceof CountersignError) result = thrown.code;
    throw thrown;
  } finally {
    metrics.issuance.add(1, { result });
    metrics.issuanceSeconds.observe((clock.monotonic() - started) / 1000);
  }
}

async function issueInSteps(
  request: IssueRequest,
  context: IssueContext,
): Promise<Issued | Refusal> {
  const { config, ledger } = context;
  const at = context.clock.now();

  // 1. Possession: the request is read, its key is one to certify, and its sender holds the private half.
  const read = readRequest(request.csr);
  if (!read.ok) return read;
  const { csr } = read;
  const isProved = VerifiedPeer.is(request.csr);
  const key = judgeRequestKey(csr, context.authorityKeys, isProved, context.trialKeys);
  if (!key.ok) return key;
  const spkiHash = hash('sha256', csr.spki.raw);
  const keyHash = Buffer.from(spkiHash, 'hex');
  const listing = context.keyLists.judge(csr.spki, key.kind, spkiHash);
  const listed = listing === undefined ? undefined : await listing;
  if (listed !== undefined) return listed;
  const proof = request.proof && proveKey(request.proof, csr, at);
  if (proof?.ok === false) return proof;

  // 2. Policy: what the grant gives, who may sign the names, by which profile, what the request asks beyond that, and for
  //    how long.
  const reading = readGrant(request.grant, csr, context);
  const granted = reading instanceof Promise ? await reading : reading;
  if (!granted.ok) return granted;
  const { names, requester } = granted;
  const { issuers, haltOf } = context;
  const standing = context.standing.unfit({ issuers, at, haltOf });
  const unfit = standing instanceof Promise ? await standing : standing;
  const question = {
    at,
    names: granted.judged ?? names,
    requester,
    profile: request.profile,
    kept: granted.profile,
    issuer: request.issuer,
    preferred: granted.leaf && issuerOfLeaf(granted.leaf, issuers),
    unfit,
    ttlMs: request.ttlMs,
    beginsAt: request.beginsAt,
    request: { csr, grantedBy: granted.describe },
    usages: request.usages,
    kind: key.kind,
    lifetime: granted.lifetime,
    isOwn: request.grant.by === 'authority',
    random: context.random,
  };
  const decided = firstAnswer(decideIssue(question, config, issuers));
  if (!decided.ok) return decided;
  const { issuer, profile, lifetime } = decided.answer;
  const halted = haltOf?.(issuer.ledgerName);
  if (halted !== undefined) return halted;

  // 3. Draft: everything but the serial number.
  const { notBefore, notAfter } = lifetime;
  const { commonName } = granted;
  const certified = { spki: csr.spki, keyHash, kind: key.kind, trialKeys: context.trialKeys };
  const facts = { names, commonName, ...certified, notBefore, notAfter };
  const template = question.isOwn ? issuer.own : issuer.templateOf(profile, request.usages);
  const draft = draftService(template, facts);

  // 4. Lint: the very bytes, read back, keep every rule.
  const linted = lintDraft(draft, issuer.signer.algorithm);

  // 5. Intent: the ledger redeems the token, looks for blocks, revocations and reused keys, and assigns position and serial.
  //    A crash before it resolves: nothing was signed. After: an orphan, which start-up closes.
  const spiffeId = names.spiffeId?.toString();
  const intent = await ledger.intend({
    grant: granted.ledgerGrant,
    spiffeId,
    names: formatNames(names),
    spkiHash,
    provisioner: granted.provisioner,
    issuer: issuer.ledgerName,
    notAfter,
    profile: request.profile ?? granted.profile,
    proofKey: proof?.spkiHash,
    refuseReusedKey: config.requests.reusedKeys === 'refuse' && !question.isOwn,
  });
  if (!intent.ok) return intent;

  // 6. Sign, unless the ledger was away meanwhile, and others have replaced the key and retired it.
  const isHalted = haltOf?.(issuer.ledgerName) !== undefined;
  const overtaken = isHalted ? await context.overtakenOf?.(issuer.ledgerName) : undefined;
  if (overtaken !== undefined) {
    await ledger.abandoned(intent.position, overtaken.detail);
    return overtaken;
  }
  const der = await signDraft(linted, intent, issuer.signer).catch((thrown: unknown) =>
    abandon(intent, thrown, context),
  );

  // 7. Issued: once this resolves the certificate is in the ledger, whether or not the caller hears of it.
  await ledger.issued({ intent: intent.position, serialHex: intent.serialHex, der });
  return {
    ok: true,
    spiffeId,
    serialHex: intent.serialHex,
    notAfter,
    chain: [der, ...issuer.chainDer],
    issuer: issuer.name,
    provisioner: intent.provisioner,
    position: intent.position,
  };
}

/** Refusals: ERR_DER_*, ERR_CSR_*. */
export function readRequest(
  der: Uint8Array | VerifiedPeer,
): { readonly ok: true; readonly csr: CertificateRequest } | Refusal {
  if (VerifiedPeer.is(der)) return { ok: true, csr: requestOfPeer(der) };
  try {
    return { ok: true, csr: parseCertificateRequest(der) };
  } catch (thrown) {
    if (!(thrown instanceof CountersignError)) throw thrown;
    return denial(thrown.code, `read the certificate request: ${thrown.message}`, thrown.fields);
  }
}

function isOfBlockedIssuer(outcome: Issued | Refusal): boolean {
  return !outcome.ok && outcome.code === 'ERR_LEDGER_BLOCKED' && outcome.fields.by === 'issuer';
}

async function abandon(
  { position }: Intent,
  thrown: unknown,
  { ledger, log }: IssueContext,
): Promise<never> {
  // Should this fail too, the intent stays open and start-up closes it.
  await ledger.abandoned(position, messageOf(thrown)).catch((failed: unknown) => {
    log.error({ position, reason: messageOf(failed) }, 'intent not abandoned');
  });
  throw thrown;
}

function tell(outcome: Issued | Refusal, { grant }: IssueRequest, { log }: IssueContext): void {
  if (!outcome.ok) {
    const refusal = { grant: grant.by, code: outcome.code, detail: outcome.detail };
    // An operator reads the answer itself; of what strangers are refused, the log is all that an operator sees.
    if (grant.by === 'operator') log.info(refusal, 'certificate refused');
    else log.warn(refusal, 'certificate refused');
    return;
  }
  const { spiffeId, serialHex, issuer, position, notAfter } = outcome;
  log.info(
    { grant: grant.by, spiffeId, serial: serialHex, issuer, position, notAfter },
    'certificate issued',
  );
}
