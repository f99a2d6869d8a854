import { CountersignError } from '@countersign/base';
import type { PublicJwk } from '@countersign/spiffe';

/** A public key for JWT-SVIDs, and between which moments it may be needed. */
export interface PublishedKey {
  readonly jwk: PublicJwk & { readonly kid: string };
  /** From then on it signs. */
  readonly activeAt: number;
  /** By then the last token of it has ended. */
  readonly goneAt: number;
}

export function formatPublishedKeys(keys: readonly PublishedKey[]): string {
  return JSON.stringify({ keys });
}

/** @throws CountersignError ERR_STATE_BROKEN */
export function parsePublishedKeys(body: string): readonly PublishedKey[] {
  const { keys } = JSON.parse(body) as { readonly keys: readonly PublishedKey[] };
  const isRight =
    Array.isArray(keys) &&
    keys.every(
      ({ jwk, activeAt, goneAt }) =>
        typeof jwk?.kid === 'string' && Number.isFinite(activeAt) && Number.isFinite(goneAt),
    );
  if (isRight) return keys;
  throw new CountersignError(
    'ERR_STATE_BROKEN',
    'the keys for JWT-SVIDs in the ledger are no keys',
  );
}
