import type { RevocationStatus } from '@countersign/spiffe';
import {
  type Certificate,
  type Crl,
  formatName,
  type PathRefused,
  type RevocationReason,
  type SignatureCache,
  validatePath,
} from '@countersign/x509';
import { skewMs } from './fetch-list.ts';

export interface CrlQuestion {
  /** Leaf first, anchor last; at least two. Every certificate but the anchor must be covered. */
  readonly chain: readonly Certificate[];
  readonly lists: readonly Crl[];
  readonly at: number;
  /** How long after its end a list still counts; Infinity looks at who is on it alone. */
  readonly graceMs: number;
  readonly signatures: SignatureCache;
}

/**
 * What the lists say about a chain that was validated before: path validation asked once more, with them (RFC 5280
 * §6.3). Lists count for `graceMs` longer than they say, and a little before.
 */
export function crlVerdict(question: CrlQuestion): RevocationStatus {
  const { chain, at, graceMs, signatures } = question;
  const [leaf, ...above] = chain;
  const anchor = above.at(-1);
  if (leaf === undefined || anchor === undefined) return { status: 'good' };
  const result = validatePath({
    leaf,
    intermediates: above.slice(0, -1),
    anchors: [anchor],
    at,
    crls: question.lists.map((crl) => withGrace(crl, at, graceMs)),
    signatures,
  });
  if (result.ok) return { status: 'good' };
  return result.code === 'ERR_CERT_REVOKED'
    ? revoked(result, chain)
    : { status: 'unknown', detail: result.detail };
}

/** Its signature is over what stands in `tbs`: the dates here are only those that the check compares with. */
function withGrace(crl: Crl, at: number, graceMs: number): Crl {
  const nextUpdate =
    crl.nextUpdate === undefined ? undefined : Math.min(latest, crl.nextUpdate + graceMs);
  const isNearlyNow = crl.thisUpdate <= at + skewMs || graceMs === Number.POSITIVE_INFINITY;
  // as path validation compares: in whole seconds
  const now = Math.floor(at / 1000) * 1000;
  const thisUpdate = isNearlyNow ? Math.min(crl.thisUpdate, now) : crl.thisUpdate;
  return { ...crl, nextUpdate, thisUpdate };
}

/** The end of what a Date can say. */
const latest = 8.64e15;

function revoked(
  { fields, subject }: PathRefused,
  chain: readonly Certificate[],
): RevocationStatus {
  const certificate = chain.find(({ serialHex }) => serialHex === fields.serialHex);
  const issuer = certificate === undefined ? '' : ` of "${formatName(certificate.issuer)}"`;
  const whose = certificate === chain[0] ? '' : `, as its issuer "${subject}"`;
  return {
    status: 'revoked',
    by: 'serial',
    reason: fields.reason as RevocationReason,
    at: fields.date as number,
    toldBy: `on a revocation list${issuer}${whose}`,
  };
}
