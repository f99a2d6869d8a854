import type { RevocationReason } from '@countersign/x509';
import { serialRule } from './issue-messages.ts';
import { readMessage } from './read-message.ts';
import { reasonWords } from './revoke-messages.ts';

/**
 * `POST /v1/revoke/by-key`: who holds a certificate's private key revokes it, with that key's signature in the place of
 * mTLS. The certificate may have ended, or be refused by everybody.
 */
export interface KeyRevokeRequest extends KeyRevokeStatement {
  /** Of {@link keyRevokeText}, by the default algorithm of the key's kind. */
  readonly signature: Uint8Array;
  /** As of `RevokeRequest`. */
  readonly waitMs?: number;
}

export interface KeyRevokeStatement {
  readonly serial: string;
  /** SHA-256 of its DER, lowercase hexadecimal: the authority that signed it, and no other, has this one. */
  readonly certificate: string;
  /** For good alone. With `keyCompromise` every certificate of the key is revoked, and the key is blocked. */
  readonly reason: FinalReason;
  /** When it was signed, in milliseconds since the epoch; the authority believes it for some minutes. */
  readonly at: number;
}

export type FinalReason = Exclude<RevocationReason, 'certificateHold' | 'removeFromCRL'>;

export const finalReasons = reasonWords.filter(
  (reason): reason is FinalReason => reason !== 'certificateHold' && reason !== 'removeFromCRL',
);

/** Begins with words that nothing else which is signed begins with. */
export function keyRevokeText(statement: KeyRevokeStatement): Uint8Array {
  const { serial, certificate, reason, at } = statement;
  const lines = ['countersign revocation by key, version 1', serial, certificate, reason, at];
  return new TextEncoder().encode(`${lines.join('\n')}\n`);
}

/** Of ML-DSA-87, the longest. */
const maxSignatureBytes = 5120;

/** @throws CountersignError ERR_WIRE_MESSAGE, ERR_WIRE_UNKNOWN_MEMBER */
export function parseKeyRevokeRequest(json: unknown): KeyRevokeRequest {
  return readMessage('key revoke request', json, (m) => {
    const waitMs = m.optional('waitMs', (name) => m.integer(name, { min: 0, max: 60_000 }));
    return {
      serial: m.text('serial', serialRule),
      certificate: m.text('certificate', {
        pattern: /^[0-9a-f]{64}$/,
        form: 'a SHA-256 in lowercase hexadecimal',
      }),
      reason: m.oneOf('reason', finalReasons),
      at: m.integer('at', { min: 0 }),
      signature: m.bytes('signature', maxSignatureBytes),
      ...(waitMs === undefined ? {} : { waitMs }),
    };
  });
}

export function formatKeyRevokeRequest(request: KeyRevokeRequest): string {
  const signature = Buffer.from(request.signature).toString('base64');
  return JSON.stringify({ ...request, signature });
}
