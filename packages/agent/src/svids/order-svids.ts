import type { KeyObject } from 'node:crypto';
import { type Clock, type Denial, denial, messageOf } from '@countersign/base';
import { type BundleSource, makeSvid, verifyPeer, type X509Svid } from '@countersign/spiffe';
import type { BatchIssued, BatchRequest, BatchResponse } from '@countersign/wire';
import { buildCertificateRequest, generateKeyPair, keySigner } from '@countersign/x509';
import type { Entry } from '../entries/entry.ts';

/** Orders certificates for entries, by the authority over mTLS with the agent's own certificate. */
export type IssueBatch = (
  request: BatchRequest,
  options: { readonly signal: AbortSignal },
) => Promise<BatchResponse>;

export type Ordered = { readonly ok: true; readonly svid: X509Svid } | Denial;

export interface OrderContext {
  readonly issue: IssueBatch;
  readonly bundles: BundleSource;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * An X.509-SVID for each entry, in their order, each by a key of its own that never leaves this process, and proved as a
 * peer would prove it.
 *
 * Denials: what the authority refuses, and ERR_AGENT_ISSUED.
 * @throws CountersignError where the authority could not be asked
 */
export async function orderSvids(
  entries: readonly Entry[],
  context: OrderContext,
): Promise<readonly Ordered[]> {
  // 1. a new key each: a renewed certificate for an old key would keep a stolen one alive
  const keys = await Promise.all(
    entries.map(() => generateKeyPair({ type: 'EC', curve: 'P-256' })),
  );
  const orders = await Promise.all(
    entries.map(async ({ spiffeId, dns, ttlMs }, index) => ({
      csr: await buildCertificateRequest({ signer: keySigner(keyOf(keys, index)) }),
      own: false,
      spiffeId,
      dns,
      ip: [],
      ...(ttlMs === undefined ? {} : { ttlMs }),
    })),
  );
  // 2. one call for all
  const { results } = await context.issue({ orders }, { signal: context.signal });
  // 3. each answer proved before anything relies on it
  return entries.map((entry, index) => {
    const result = results[index];
    if (result === undefined) return notAsAsked(entry, 'it was not answered');
    if (result.ok) return prove(entry, result, keyOf(keys, index), context);
    const detail = result.detail ?? `the authority refuses it, its log has id ${result.id}`;
    return denial(result.code, `entry for "${entry.spiffeId}": ${detail}`, { entry: entry.id });
  });
}

function prove(
  entry: Entry,
  { chain }: BatchIssued,
  privateKey: KeyObject,
  { bundles, clock }: OrderContext,
): Ordered {
  try {
    const svid = makeSvid(chain, privateKey);
    if (svid.spiffeId.toString() !== entry.spiffeId) {
      return notAsAsked(entry, `the certificate is for "${svid.spiffeId}"`);
    }
    const verified = verifyPeer({ chain: svid.chain, bundles, at: clock.now(), purpose: 'client' });
    return verified.ok ? { ok: true, svid } : notAsAsked(entry, verified.detail);
  } catch (thrown) {
    return notAsAsked(entry, messageOf(thrown));
  }
}

function notAsAsked({ id, spiffeId }: Entry, reason: string): Denial {
  return denial('ERR_AGENT_ISSUED', `entry for "${spiffeId}": ${reason}`, { entry: id });
}

function keyOf(keys: readonly { readonly privateKey: KeyObject }[], index: number): KeyObject {
  const pair = keys[index];
  if (pair === undefined) throw new RangeError(`no key at ${index}`);
  return pair.privateKey;
}
