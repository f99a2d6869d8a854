import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Clock } from '@countersign/base';
import type { EdgeState } from '../ledger/edge/edge-records.ts';
import { randomOctets } from '../ledger/random-octets.ts';

const kind = 'acme-nonce';
const secretKind = 'acme-nonce-key';
const lifetimeMs = 3_600_000;

/**
 * Nonces that every process over the ledger knows without having heard of them: a time and random octets under a MAC.
 * Only used ones are kept, for as long as they could be tried again; so that one is taken once by all processes together.
 */
export class Nonces {
  readonly #state: EdgeState;
  readonly #clock: Clock;
  readonly #secret: Uint8Array;

  private constructor(state: EdgeState, clock: Clock, secret: Uint8Array) {
    this.#state = state;
    this.#clock = clock;
    this.#secret = secret;
  }

  /** The MAC's key is made by the first process, and found by the others. */
  static async open(state: EdgeState, clock: Clock): Promise<Nonces> {
    for (;;) {
      const found = await state.edgeRecord(secretKind, 'key');
      if (found !== undefined) return new Nonces(state, clock, Buffer.from(found.body, 'base64'));
      const body = Buffer.from(randomOctets(32)).toString('base64');
      const expiresAt = Number.MAX_SAFE_INTEGER;
      await state.changeEdge([{ kind: secretKind, id: 'key', replaces: 0, expiresAt, body }]);
    }
  }

  /** base64url (RFC 8555 §6.5.1). */
  next(): string {
    const content = Buffer.alloc(18);
    content.writeUIntBE(Math.trunc(this.#clock.now() / 1000), 0, 6);
    content.set(randomOctets(12), 6);
    return Buffer.concat([content, this.#mac(content)]).toString('base64url');
  }

  /** Whether it is ours, young, and was never used: then it is now. */
  async use(nonce: string): Promise<boolean> {
    const bytes = Buffer.from(nonce, 'base64url');
    if (bytes.byteLength !== 34 || bytes.toString('base64url') !== nonce) return false;
    const [content, mac] = [bytes.subarray(0, 18), bytes.subarray(18)];
    if (!timingSafeEqual(this.#mac(content), mac)) return false;
    const endsAt = content.readUIntBE(0, 6) * 1000 + lifetimeMs;
    if (endsAt <= this.#clock.now()) return false;
    const id = content.toString('base64url');
    const used = await this.#state.changeEdge([
      { kind, id, replaces: 0, expiresAt: endsAt, body: '' },
    ]);
    return used.ok;
  }

  #mac(content: Uint8Array): Uint8Array {
    return createHmac('sha256', this.#secret).update(content).digest().subarray(0, 16);
  }
}
