import { type Clock, CountersignError, messageOf } from '@countersign/base';
import { type KeyKind, keyKindOf } from '@countersign/x509';
import type { Identity } from './identity.ts';
import { defaultKeyKind, makeOwnRequest } from './own-request.ts';
import { proveIssued } from './prove-issued.ts';
import type { Renew } from './renewal.ts';

export interface RenewOnceOptions {
  readonly current: Identity;
  readonly renew: Renew;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * A new key and a new certificate for the same names, proved; the current identity is not touched.
 *
 * @throws CountersignError ERR_IDENTITY_RESPONSE, ERR_IDENTITY_EXPIRED where the current one had expired and that is
 *   why, and what `renew` throws
 */
export async function renewOnce(options: RenewOnceOptions): Promise<Identity> {
  const { current, renew, clock, signal } = options;
  // 1. a new key of the same kind: a renewed certificate for an old key would keep a stolen one alive
  const makeRequest = renew.makeRequest ?? makeOwnRequest;
  const { privateKey, csr } = await makeRequest(kindOf(current));
  // 2. the authority's answer
  const wasExpired = clock.now() > current.svid.notAfter;
  const response = await renew({ current, csr, signal }).catch((thrown: unknown) => {
    throw wasExpired ? expired(current, thrown) : thrown;
  });
  // 3. proved: our key, the same names, a chain that peers will accept
  const { ca } = current;
  return proveIssued({
    response,
    privateKey,
    clock,
    renewed: current,
    ...(ca === undefined ? {} : { ca }),
  });
}

function kindOf({ svid }: Identity): KeyKind {
  return keyKindOf(svid.leaf.spki) ?? defaultKeyKind;
}

function expired({ svid }: Identity, thrown: unknown): CountersignError {
  const at = new Date(svid.notAfter).toISOString();
  return new CountersignError(
    'ERR_IDENTITY_EXPIRED',
    `renew "${svid.spiffeId}", which expired at ${at}: ${messageOf(thrown)}`,
    { fields: { notAfter: svid.notAfter }, cause: thrown },
  );
}
