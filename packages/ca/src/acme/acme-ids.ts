import { randomOctets } from '../ledger/random-octets.ts';

/** In the order of their making, and not to be guessed. */
export function orderedId(now: number): string {
  const time = Math.trunc(now).toString(36).padStart(9, '0');
  return `${time}${Buffer.from(randomOctets(10)).toString('hex')}`;
}

/** RFC 8555 §8.1: at least 128 bits of entropy. */
export function challengeToken(): string {
  return Buffer.from(randomOctets(24)).toString('base64url');
}
