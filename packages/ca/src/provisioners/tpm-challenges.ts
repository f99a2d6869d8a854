import { createHmac, timingSafeEqual } from 'node:crypto';
import { type Clock, toHex } from '@countersign/base';
import type { TpmChallenge, TpmChallengeRequest } from '@countersign/wire';
import { makeCredential, parseTpmPublic } from '@countersign/x509';
import type { EdgeState } from '../ledger/edge/edge-records.ts';
import { randomOctets } from '../ledger/random-octets.ts';

const kind = 'tpm-challenge-key';
const lifetimeMs = 5 * 60_000;

/**
 * Challenges that every process over the ledger knows without having heard of them: what a credential holds is a MAC over
 * both keys and the time, so that nothing is kept for a stranger who asks for one.
 */
export class TpmChallenges {
  readonly #state: EdgeState;
  readonly #clock: Clock;
  #secret: Promise<Uint8Array> | undefined;

  constructor(state: EdgeState, clock: Clock) {
    this.#state = state;
    this.#clock = clock;
  }

  /** @throws CountersignError ERR_TPM_FORM, ERR_TPM_UNSUPPORTED */
  async make({ endorsement, attestation }: TpmChallengeRequest): Promise<TpmChallenge> {
    const [parent, key] = [parseTpmPublic(endorsement), parseTpmPublic(attestation)];
    const at = this.#clock.now();
    const content = await this.#content({ endorsement, attestation, at });
    return { at, ...makeCredential(parent, key.name, content) };
  }

  /** Undefined where the content is that of a challenge for both keys which is still good, or what is wrong. */
  async wrongWith(
    answer: TpmChallengeRequest & { readonly at: number; readonly content: Uint8Array },
  ): Promise<string | undefined> {
    const ageMs = this.#clock.now() - answer.at;
    if (ageMs < -lifetimeMs || ageMs > lifetimeMs)
      return 'its challenge is too old, ask for another';
    const wanted = await this.#content(answer);
    const { content } = answer;
    const isSame = content.byteLength === wanted.byteLength && timingSafeEqual(content, wanted);
    return isSame ? undefined : 'its TPM has not opened the challenge for these keys';
  }

  async #content({
    endorsement,
    attestation,
    at,
  }: TpmChallengeRequest & { readonly at: number }): Promise<Uint8Array> {
    this.#secret ??= secretIn(this.#state).catch((thrown: unknown) => {
      this.#secret = undefined;
      throw thrown;
    });
    const said = [at, toHex(endorsement), toHex(attestation)].join(' ');
    return createHmac('sha256', await this.#secret)
      .update(said)
      .digest();
  }
}

/** Made by the first process, and found by the others. */
async function secretIn(state: EdgeState): Promise<Uint8Array> {
  for (;;) {
    const found = await state.edgeRecord(kind, 'key');
    if (found !== undefined) return Buffer.from(found.body, 'base64');
    const body = Buffer.from(randomOctets(32)).toString('base64');
    const expiresAt = Number.MAX_SAFE_INTEGER;
    await state.changeEdge([{ kind, id: 'key', replaces: 0, expiresAt, body }]);
  }
}
