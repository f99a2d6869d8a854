import { type Denial, denial, type ErrorCode, type Fields } from '@countersign/base';
import type { Identifier } from './acme-objects.ts';

/** Error types of RFC 8555 §6.7, RFC 9773 §5 and the profiles draft, with what HTTP says beside them. */
const problems = {
  accountDoesNotExist: [400, 'ERR_ACME_ACCOUNT_UNKNOWN'],
  alreadyReplaced: [409, 'ERR_ACME_REPLACED'],
  alreadyRevoked: [400, 'ERR_ACME_REVOKED'],
  badAttestationStatement: [403, 'ERR_ACME_ATTESTATION'],
  badCSR: [400, 'ERR_ACME_CSR'],
  badNonce: [400, 'ERR_ACME_NONCE'],
  badPublicKey: [400, 'ERR_ACME_KEY'],
  badRevocationReason: [400, 'ERR_ACME_REASON'],
  badSignatureAlgorithm: [400, 'ERR_ACME_ALGORITHM'],
  connection: [400, 'ERR_ACME_CONNECTION'],
  dns: [400, 'ERR_ACME_DNS'],
  externalAccountRequired: [403, 'ERR_ACME_EXTERNAL_ACCOUNT'],
  incorrectResponse: [403, 'ERR_ACME_RESPONSE'],
  invalidContact: [400, 'ERR_ACME_CONTACT'],
  invalidProfile: [400, 'ERR_ACME_PROFILE'],
  malformed: [400, 'ERR_ACME_MALFORMED'],
  orderNotReady: [403, 'ERR_ACME_NOT_READY'],
  rateLimited: [429, 'ERR_ACME_RATE'],
  rejectedIdentifier: [400, 'ERR_ACME_IDENTIFIER'],
  serverInternal: [500, 'ERR_ACME_INTERNAL'],
  tls: [400, 'ERR_ACME_TLS'],
  unauthorized: [403, 'ERR_ACME_UNAUTHORIZED'],
  unsupportedContact: [400, 'ERR_ACME_CONTACT'],
  unsupportedIdentifier: [400, 'ERR_ACME_IDENTIFIER_KIND'],
  userActionRequired: [403, 'ERR_ACME_TERMS'],
} as const satisfies Record<string, readonly [status: number, code: ErrorCode]>;

export type ProblemType = keyof typeof problems;

/** A refusal in ACME's words. `detail` is for the client; what only the operator may know is in `fields.operator`. */
export interface AcmeProblem extends Denial {
  readonly type: ProblemType;
  readonly status: number;
  readonly more: ProblemMore;
}

export interface ProblemMore {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** RFC 8555 §6.7.1: one an identifier. */
  readonly subproblems?: readonly Subproblem[];
  /** RFC 8555 §6.2: what is understood, where a signature algorithm is not. */
  readonly algorithms?: readonly string[];
  /** For the log alone. */
  readonly operator?: Fields;
}

export interface Subproblem {
  readonly type: ProblemType;
  readonly detail: string;
  readonly identifier: Identifier;
}

/** What a challenge, an authorization or an order keeps of its failure. */
export interface KeptProblem {
  readonly type: ProblemType;
  readonly detail: string;
  readonly subproblems?: readonly Subproblem[] | undefined;
}

export function problem(type: ProblemType, detail: string, more: ProblemMore = {}): AcmeProblem {
  const [status, code] = problems[type];
  return { ...denial(code, detail, more.operator), type, status: more.status ?? status, more };
}

/** RFC 7807 with the members of RFC 8555 §6.7; `id` is what an operator looks up. */
export function problemBody({ type, status, detail, more }: AcmeProblem, id: string): object {
  return {
    ...keptBody({ type, detail, subproblems: more.subproblems }),
    status,
    instance: `urn:countersign:request:${id}`,
    ...(more.algorithms !== undefined && { algorithms: more.algorithms }),
  };
}

export function keptBody({ type, detail, subproblems }: KeptProblem): object {
  return {
    type: urn(type),
    detail,
    status: problems[type][0],
    ...(subproblems !== undefined && {
      subproblems: subproblems.map((each) => ({
        type: urn(each.type),
        detail: each.detail,
        identifier: each.identifier,
      })),
    }),
  };
}

function urn(type: ProblemType): string {
  return `urn:ietf:params:acme:error:${type}`;
}
