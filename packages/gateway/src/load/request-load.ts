import { type Denial, denial } from '@countersign/base';
import { isAnonymous, type LiveConnection } from '@countersign/mtls';

export interface RequestLoadOptions {
  /** Requests of one identity under way at the same time, over all of its connections. */
  readonly maxPerIdentity: number;
  /** Beyond it requests are turned away, the more the later it is. 0: never. */
  readonly maxLatenessMs: number;
  /** How late this process comes to its work. */
  readonly latenessMs: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

const retryAfterSeconds = '1';

/**
 * Whether there is room for one more request. Who is turned away costs next to nothing, and so those who are not are
 * answered as soon as ever; one caller cannot take the room of all.
 */
export class RequestLoad {
  readonly #options: RequestLoadOptions;
  readonly #underWay = new Map<string, number>();

  constructor(options: RequestLoadOptions) {
    this.#options = options;
  }

  /** Undefined: there is room, and whoever is told so calls {@link ended} when the request is over. */
  begin(connection: LiveConnection): (Denial & Headed) | undefined {
    const { maxPerIdentity, maxLatenessMs, latenessMs, random } = this.#options;
    const late = maxLatenessMs === 0 ? 0 : latenessMs();
    if (late > maxLatenessMs && random() < (late - maxLatenessMs) / late) {
      const detail = `gateway is ${Math.round(late)} ms late with its work, at most ${maxLatenessMs} is taken`;
      return headed(denial('ERR_GATEWAY_OVERLOADED', detail, { late, maxLatenessMs }));
    }
    const key = keyOf(connection);
    const underWay = this.#underWay.get(key) ?? 0;
    if (underWay >= maxPerIdentity) {
      const detail = `"${key}" has ${underWay} requests under way, at most ${maxPerIdentity} at a time`;
      return headed(denial('ERR_GATEWAY_IDENTITY_BUSY', detail, { underWay, maxPerIdentity }));
    }
    this.#underWay.set(key, underWay + 1);
    return undefined;
  }

  ended(connection: LiveConnection): void {
    const key = keyOf(connection);
    const left = (this.#underWay.get(key) ?? 1) - 1;
    if (left > 0) this.#underWay.set(key, left);
    else this.#underWay.delete(key);
  }
}

interface Headed {
  readonly headers: readonly (readonly [name: string, value: string])[];
}

// RFC 9110 §10.2.3
function headed(refusal: Denial): Denial & Headed {
  return { ...refusal, headers: [['Retry-After', retryAfterSeconds]] };
}

/** Who has no identity is told apart by address. */
function keyOf({ peer, facts }: LiveConnection): string {
  if (isAnonymous(peer)) return facts.remoteAddress;
  return peer.spiffeId?.toString() ?? peer.fingerprint;
}
