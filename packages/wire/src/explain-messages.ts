import { isErrorCode } from '@countersign/base';
import { readMessage } from './read-message.ts';

/** One clause of a rule with its answer. */
export interface ExplainedClause {
  /** `provisioners`, `callers`, `when`, `allow`, … as ca.yaml calls it. */
  readonly clause: string;
  readonly ok: boolean;
  /** Both sides. */
  readonly detail: string;
}

export interface ExplainedRefusal {
  readonly code: string;
  readonly detail: string;
  /** The end of "it would pass if …". */
  readonly passIf: string;
  /** The rule or profile that comes closest, clause by clause. */
  readonly closest?: { readonly name: string; readonly clauses: readonly ExplainedClause[] };
}

/**
 * `POST /v1/admin/explain`: what an issue request would be answered, with every reason at once. Nothing is ordered or
 * signed.
 */
export interface IssueExplanation {
  readonly decision: 'allow' | 'deny';
  /** `uri:spiffe://…`, `dns:…`, `ip:…`. */
  readonly names: readonly string[];
  /** What would be signed; absent where it is denied. */
  readonly certificate?: {
    readonly issuer: string;
    readonly profile: string;
    readonly notBefore: number;
    readonly notAfter: number;
  };
  readonly refusals: readonly ExplainedRefusal[];
}

const tolerant = { unknown: 'ignore' } as const;
const limits = { names: 64, refusals: 1000, clauses: 20, text: 65_536 } as const;

export function formatIssueExplanation(explanation: IssueExplanation): string {
  return JSON.stringify(explanation);
}

export function parseIssueExplanation(json: unknown): IssueExplanation {
  return readMessage(
    'explanation',
    json,
    (m) => {
      const certificate = m.optional('certificate', (name) => readCertificate(m.object(name)));
      return {
        decision: m.oneOf('decision', ['allow', 'deny']),
        names: m.listOfTexts('names', { maxItems: limits.names }),
        ...(certificate === undefined ? {} : { certificate }),
        refusals: m.list('refusals', { maxItems: limits.refusals }, readRefusal),
      };
    },
    tolerant,
  );
}

function readCertificate(json: unknown): NonNullable<IssueExplanation['certificate']> {
  return readMessage(
    'certificate of an explanation',
    json,
    (m) => ({
      issuer: m.text('issuer', { max: 64 }),
      profile: m.text('profile', { max: 64 }),
      notBefore: m.integer('notBefore', { min: 0 }),
      notAfter: m.integer('notAfter', { min: 0 }),
    }),
    tolerant,
  );
}

function readRefusal(json: unknown): ExplainedRefusal {
  return readMessage(
    'refusal of an explanation',
    json,
    (m) => {
      const code = m.text('code', { max: 128 });
      if (!isErrorCode(code)) throw m.fail('code', 'is no code of this version');
      const closest = m.optional('closest', (name) => readClosest(m.object(name)));
      return {
        code,
        detail: m.text('detail', { max: limits.text }),
        passIf: m.text('passIf', { max: limits.text }),
        ...(closest === undefined ? {} : { closest }),
      };
    },
    tolerant,
  );
}

function readClosest(json: unknown): NonNullable<ExplainedRefusal['closest']> {
  return readMessage(
    'closest rule of an explanation',
    json,
    (m) => ({
      name: m.text('name', { max: 256 }),
      clauses: m.list('clauses', { maxItems: limits.clauses }, readClause),
    }),
    tolerant,
  );
}

function readClause(json: unknown): ExplainedClause {
  return readMessage(
    'clause of an explanation',
    json,
    (m) => ({
      clause: m.text('clause', { max: 64 }),
      ok: m.boolean('ok'),
      detail: m.text('detail', { max: limits.text }),
    }),
    tolerant,
  );
}
