import { issueLimits } from './issue-messages.ts';
import { readMessage } from './read-message.ts';

/** `POST /v1/jwt-svid`, over mTLS: a token for the caller itself, or for a workload that it may order for. */
export interface JwtSvidOrder {
  readonly spiffeId: string;
  /** Who is to accept it; 1 to `jwtLimits.audience`. */
  readonly audience: readonly string[];
  /** Absent: the authority's default; more than its `max_ttl` is refused. */
  readonly ttlMs?: number;
}

export interface JwtSvidAnswer {
  /** JWS compact serialisation. Whoever has it is the workload: it is in no log. */
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}

export const jwtLimits = { audience: 32, audienceLength: 1024, tokenLength: 64 * 1024 } as const;

export function parseJwtSvidOrder(json: unknown): JwtSvidOrder {
  return readMessage('token order', json, (m) => {
    const ttlMs = m.optional('ttlMs', (name) =>
      m.integer(name, { min: 1000, max: issueLimits.ttlMs }),
    );
    return {
      spiffeId: m.text('spiffeId', { max: 2048 }),
      audience: m.listOfTexts('audience', {
        minItems: 1,
        maxItems: jwtLimits.audience,
        max: jwtLimits.audienceLength,
      }),
      ...(ttlMs === undefined ? {} : { ttlMs }),
    };
  });
}

export function formatJwtSvidOrder(order: JwtSvidOrder): string {
  return JSON.stringify(order);
}

export function parseJwtSvidAnswer(json: unknown): JwtSvidAnswer {
  return readMessage(
    'token answer',
    json,
    (m) => ({
      token: m.text('token', { max: jwtLimits.tokenLength, secret: true }),
      issuedAt: m.integer('issuedAt', { min: 0 }),
      expiresAt: m.integer('expiresAt', { min: 0 }),
    }),
    { unknown: 'ignore' },
  );
}

export function formatJwtSvidAnswer(answer: JwtSvidAnswer): string {
  return JSON.stringify(answer);
}
