import type { TestCredential } from '@countersign/testkit';
import { buildCrl } from '../build-crl.ts';
import type { Certificate } from '../certificate.ts';
import type { Crl } from '../crl.ts';
import type { RevokedCertificate } from '../crl-entry-writer.ts';
import type { Extension } from '../extension.ts';
import { extension } from '../extension-builders.ts';
import type { Name } from '../name.ts';
import { parseCrl } from '../parse-crl.ts';
import type { RevocationReason } from '../revocation-reason.ts';
import type { PathRequest } from './path-request.ts';
import { validatePath } from './validate-path.ts';

export const at = Date.parse('2026-05-01T12:00:00Z');
export const scopeOf = extension.issuingDistributionPoint;

export interface ListOptions {
  /** Default 5. */
  readonly number?: bigint;
  readonly revoked?: readonly Certificate[];
  readonly reason?: RevocationReason;
  /** Beside `revoked`; for indirect lists. */
  readonly entries?: readonly RevokedCertificate[];
  readonly scope?: Extension;
  /** Makes it a delta of that list. */
  readonly base?: bigint;
  readonly extensions?: readonly Extension[];
  readonly thisUpdate?: number;
  readonly nextUpdate?: number;
  /** The subject of `by` unless given. */
  readonly issuer?: Name;
}

/** A list signed by the key of `by`. */
export async function listBy(by: TestCredential, options: ListOptions = {}): Promise<Crl> {
  const { revoked = [], reason = 'keyCompromise', base, scope } = options;
  const bytes = await buildCrl({
    signer: by.signer,
    issuer: options.issuer ?? by.certificate.subject,
    thisUpdate: options.thisUpdate ?? at - 60_000,
    nextUpdate: options.nextUpdate ?? at + 60_000,
    crlNumber: options.number ?? 5n,
    entries: [
      ...revoked.map(({ serialHex }) => ({ serialHex, date: at - 60_000, reason })),
      ...(options.entries ?? []),
    ],
    extensions: [
      ...(scope === undefined ? [] : [scope]),
      ...(base === undefined ? [] : [extension.deltaCrlIndicator(base)]),
      ...(options.extensions ?? []),
    ],
  });
  return parseCrl(bytes);
}

/** `ok` or the code; whatever the order that the lists are given in. */
export function judge(request: Omit<PathRequest, 'at'>): string {
  const { crls = [] } = request;
  const orders = [crls, [...crls].reverse()];
  const verdicts = orders.map((order) => {
    const result = validatePath({ ...request, crls: order, at });
    return result.ok ? 'ok' : result.code;
  });
  const [first = '', second] = verdicts;
  return first === second ? first : verdicts.join(' or ');
}
