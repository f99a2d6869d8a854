import { fromHex, toHex } from '@countersign/base';
import { parseCertificate } from '@countersign/x509';
import type { EdgeChange } from '../ledger/edge/edge-records.ts';
import type { AcmeContext } from './acme-context.ts';
import type { Account, Identifier } from './acme-objects.ts';
import { type AcmeProblem, problem } from './acme-problem.ts';
import type { AcmeAnswer } from './acme-request.ts';
import { creating, replacing } from './acme-store.ts';
import { fromBase64Url } from './jose.ts';

/** RFC 9773 §4.3.2: after which a client looks again, in seconds. */
const lookAgainSeconds = 6 * 3600;

/**
 * RFC 9773 §4: when a certificate is best renewed: in the window between a half and two thirds of its lifetime; at once
 * where it is revoked.
 */
export async function renewalInfo(
  context: AcmeContext,
  id: string,
): Promise<AcmeAnswer | AcmeProblem> {
  const serialHex = serialOf(id);
  if (serialHex === undefined) {
    return problem(
      'malformed',
      'a certificate is named by base64url of its authority key id, ".", and its serial',
    );
  }
  const found = await context.authority.certificate(serialHex);
  if (found === undefined || certificateIdOf(found.der) !== id) {
    return problem('malformed', 'no such certificate', { status: 404 });
  }
  const { notBefore, notAfter } = parseCertificate(found.der);
  const now = context.clock.now();
  const length = notAfter - notBefore;
  const isRevoked = await context.authority.isRevoked(serialHex);
  const [start, end] = isRevoked
    ? [now - 60_000, now - 1000]
    : [notBefore + Math.trunc(length / 2), notBefore + Math.trunc((length * 2) / 3)];
  return {
    ok: true,
    status: 200,
    headers: {
      'retry-after': String(Math.min(lookAgainSeconds, Math.max(60, Math.trunc(length / 20_000)))),
    },
    body: {
      suggestedWindow: { start: new Date(start).toISOString(), end: new Date(end).toISOString() },
    },
  };
}

/** RFC 9773 §5: `replaces` of a new order: of the same account, sharing a name, and not replaced yet. */
export async function replacedBy(
  context: AcmeContext,
  account: Account,
  written: unknown,
  identifiers: readonly Identifier[],
): Promise<
  | {
      readonly ok: true;
      readonly id: string | undefined;
      readonly changes: (order: string, expiresAt: number) => readonly EdgeChange[];
    }
  | AcmeProblem
> {
  if (written === undefined) return { ok: true, id: undefined, changes: () => [] };
  const { store } = context;
  const id = String(written);
  const serialHex = serialOf(id);
  const kept =
    serialHex === undefined ? undefined : await store.find('acme-certificate', serialHex);
  const der = kept?.value.chain[0];
  if (
    kept === undefined ||
    der === undefined ||
    certificateIdOf(Buffer.from(der, 'base64')) !== id
  ) {
    return problem(
      'malformed',
      `"replaces" names no certificate of this server: "${id.slice(0, 120)}"`,
    );
  }
  if (kept.value.account !== account.id) {
    return problem('unauthorized', '"replaces" names a certificate of another account');
  }
  const { value: before } = await store.mustFind('acme-order', kept.value.order);
  const shares = before.identifiers.some((old) =>
    identifiers.some((each) => each.type === old.type && each.value === old.value),
  );
  if (!shares)
    return problem(
      'malformed',
      '"replaces" names a certificate that shares no identifier with the order',
    );
  const earlier = await store.find('acme-replacement', id);
  if (earlier !== undefined && (await isStanding(context, earlier.value.order))) {
    return problem('alreadyReplaced', 'another order replaces that certificate already');
  }
  return {
    ok: true,
    id,
    changes: (order, expiresAt) => [
      earlier === undefined
        ? creating('acme-replacement', id, { order }, { expiresAt })
        : replacing('acme-replacement', id, { order }, earlier.version, expiresAt),
    ],
  };
}

/** An order that came to nothing replaces nothing. */
async function isStanding({ store, clock }: AcmeContext, id: string): Promise<boolean> {
  const order = (await store.find('acme-order', id))?.value;
  if (order === undefined || order.status === 'invalid') return false;
  if (order.status !== 'pending') return true;
  if (order.expiresAt <= clock.now()) return false;
  const found = await Promise.all(
    order.authorizations.map((each) => store.find('acme-authorization', each)),
  );
  return !found.some(
    (each) => each?.value.status === 'invalid' || each?.value.status === 'deactivated',
  );
}

/** RFC 9773 §4.1 */
export function certificateIdOf(der: Uint8Array): string | undefined {
  const { authorityKeyId, serialHex } = parseCertificate(der);
  const keyId = authorityKeyId?.keyId;
  if (keyId === undefined) return undefined;
  const serial = fromHex(serialHex);
  if (serial === undefined) return undefined;
  return [keyId, serial].map((each) => Buffer.from(each).toString('base64url')).join('.');
}

/** The serial number in it. */
export function serialOf(id: string): string | undefined {
  const [keyId, serial, ...more] = id.split('.');
  const bytes = fromBase64Url(serial);
  if (fromBase64Url(keyId) === undefined || bytes === undefined || more.length > 0)
    return undefined;
  return bytes.byteLength === 0 || bytes.byteLength > 21 ? undefined : toHex(bytes);
}
