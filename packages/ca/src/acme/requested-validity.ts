import type { AcmeConfig } from './acme-config.ts';
import type { Order } from './acme-objects.ts';
import { type AcmeProblem, problem } from './acme-problem.ts';

type Validity = Pick<Order, 'notBefore' | 'notAfter'>;

/**
 * RFC 8555 §7.4: `notBefore` and `notAfter` of a new order, as they were written, where the configuration lets an order
 * say them. Whether so long a time is granted, the policy decides when the certificate is asked for. Problems: malformed.
 */
export function readValidity(
  payload: Readonly<Record<string, unknown>>,
  { requestedValidity }: AcmeConfig,
  now: number,
): { readonly ok: true; readonly validity: Validity } | AcmeProblem {
  const found: Record<keyof Validity, string | undefined> = {
    notBefore: undefined,
    notAfter: undefined,
  };
  for (const member of ['notBefore', 'notAfter'] as const) {
    const written = payload[member];
    // Clients in Go write an empty string where nothing is meant.
    if (written === undefined || written === null || written === '') continue;
    if (!requestedValidity) {
      return problem('malformed', `"${member}" is not taken: lifetimes are decided by the profile`);
    }
    if (typeof written !== 'string' || !isTime(written)) {
      return problem('malformed', `"${member}" is a time such as 2030-01-01T00:00:00Z (RFC 3339)`);
    }
    found[member] = written;
  }
  const begin = found.notBefore === undefined ? now : Date.parse(found.notBefore);
  if (found.notAfter !== undefined && Date.parse(found.notAfter) <= begin) {
    const after = found.notBefore ?? new Date(now).toISOString();
    return problem('malformed', `"notAfter" is "${found.notAfter}", it must be after "${after}"`);
  }
  return { ok: true, validity: found };
}

/** What an order asks of the issue flow, in milliseconds: from when, if from later than now, and for how long. */
export function wishedValidity(
  { notBefore, notAfter }: Validity,
  now: number,
): { readonly beginsAt: number | undefined; readonly lifetimeMs: number | undefined } {
  const beginsAt = notBefore === undefined ? undefined : Date.parse(notBefore);
  const lifetimeMs = notAfter === undefined ? undefined : Date.parse(notAfter) - (beginsAt ?? now);
  return { beginsAt, lifetimeMs };
}

/** RFC 3339 §5.6. */
function isTime(written: string): boolean {
  const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/i;
  return form.test(written) && !Number.isNaN(Date.parse(written));
}
