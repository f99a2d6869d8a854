import { hash } from 'node:crypto';
import { type Denial, denial } from '@countersign/base';
import type { ExplainedRefusal, IssueExplanation } from '@countersign/wire';
import { type CertificateRequest, type KeyKind, keyKindOf } from '@countersign/x509';
import type { CaConfig } from '../ca-config.ts';
import { formatNames } from '../certificate-names.ts';
import {
  type DecidingIssuer,
  decideIssue,
  type IssueDecision,
  type IssueQuestion,
} from '../decide-issue.ts';
import { type IssueContext, type IssueRequest, readRequest } from '../issue.ts';
import { readGrant } from '../issue-grant.ts';
import { blockOf } from '../ledger-block.ts';
import { wholeAnswer } from '../policy/judgement.ts';
import { judgeRequestKey } from '../request-policy.ts';
import { judgeReuse } from '../requests/reused-key.ts';
import { clausesOf, passIf } from './pass-if.ts';

/** What {@link Authority.issue} would answer, with every reason at once: the same judgements, and no order. */
export async function explainIssue(
  request: IssueRequest,
  context: IssueContext,
): Promise<IssueExplanation> {
  const { config, ledger } = context;
  const refusals: Denial[] = [];

  // 1. The request and its key.
  const read = readRequest(request.csr);
  if (!read.ok) return explanationOf([], [read], undefined);
  const { csr } = read;
  const spkiHash = hash('sha256', csr.spki.raw);
  const kind = keyKindOf(csr.spki);
  const key = judgeRequestKey(csr, context.authorityKeys);
  if (!key.ok) refusals.push(key);
  const listed = kind && (await context.keyLists.judge(csr.spki, kind, spkiHash));
  if (listed !== undefined) refusals.push(listed);

  // 2. What its grant gives; without names nothing more can be said.
  const granted = await readGrant(request.grant, csr, context);
  if (!granted.ok) return explanationOf([], [...refusals, granted], undefined);
  const { names, requester, lifetime } = granted;

  // 3. The policy, every refusal of it.
  const at = context.clock.now();
  const { issuers, haltOf } = context;
  const question: IssueQuestion = {
    at,
    names,
    requester,
    profile: request.profile,
    kept: granted.profile,
    issuer: request.issuer,
    unfit: await context.standing.unfit({ issuers, at, haltOf }),
    ttlMs: request.ttlMs,
    kind,
    request: { csr, grantedBy: granted.describe },
    lifetime,
    isOwn: false,
    random: () => 0,
  };
  const decided = wholeAnswer(decideIssue(question, config, issuers));
  refusals.push(...decided.refusals);

  // 4. The ledger: keys under other names, and blocks.
  const isReuseJudged = config.requests.reusedKeys === 'refuse';
  const reused = isReuseJudged ? await judgeReuse(names, spkiHash, ledger) : undefined;
  if (reused !== undefined) refusals.push(reused);
  const spiffeId = names.spiffeId?.toString();
  const { provisioner } = granted;
  const block = await blockOf({ 'spiffe-id': spiffeId, key: spkiHash, provisioner }, ledger);
  if (block !== undefined) {
    const sides = `was blocked by the revocation at position ${block.position}`;
    const { by } = block;
    refusals.push(denial('ERR_LEDGER_BLOCKED', `${by} "${block.value}" ${sides}`, { by }));
  }
  return explanationOf(formatNames(names), refusals, decided.answer);
}

/** A policy tried out without an authority: names, requester and, where there is one, a request. */
export interface PolicyQuestion
  extends Pick<IssueQuestion, 'at' | 'names' | 'requester' | 'profile' | 'issuer' | 'ttlMs'> {
  readonly csr?: CertificateRequest | undefined;
  /** Of the key, where there is no request. */
  readonly kind?: KeyKind | undefined;
  /** Refusals of names that are none, which are not among `names`. */
  readonly malformed?: readonly Denial[];
}

/** What the policy of a configuration answers; keys in lists and the ledger are not asked. */
export function explainPolicy(
  question: PolicyQuestion,
  config: CaConfig,
  issuers: readonly DecidingIssuer[],
): IssueExplanation {
  const { csr, kind, malformed = [], ...asked } = question;
  const key = csr === undefined ? undefined : judgeRequestKey(csr, []);
  const decided = wholeAnswer(
    decideIssue(
      {
        ...asked,
        kind: csr === undefined ? kind : keyKindOf(csr.spki),
        request: csr === undefined ? undefined : { csr, grantedBy: 'the order' },
        lifetime: {},
        isOwn: false,
        random: () => 0,
      },
      config,
      issuers,
    ),
  );
  const refusals = [...malformed, ...(key?.ok === false ? [key] : []), ...decided.refusals];
  return explanationOf(formatNames(question.names), refusals, decided.answer);
}

export function explanationOf(
  names: readonly string[],
  refusals: readonly Denial[],
  answer: IssueDecision<DecidingIssuer> | undefined,
): IssueExplanation {
  if (refusals.length > 0 || answer === undefined) {
    return { decision: 'deny', names, refusals: refusals.map(explainRefusal) };
  }
  const { issuer, profile, lifetime } = answer;
  const { notBefore, notAfter } = lifetime;
  return {
    decision: 'allow',
    names,
    certificate: { issuer: issuer.name, profile: profile.name, notBefore, notAfter },
    refusals: [],
  };
}

function explainRefusal(refused: Denial): ExplainedRefusal {
  const { code, detail, fields } = refused;
  const clauses = clausesOf(fields.clauses);
  const name = String(fields.rule ?? fields.profile ?? '');
  return {
    code,
    detail,
    passIf: passIf(refused),
    ...(clauses.length === 0 ? {} : { closest: { name, clauses } }),
  };
}
