import { formatDuration } from '@countersign/base';
import type { Certificate } from '@countersign/x509';

/** Authorities set notBefore back, and round. */
const slackMs = 5 * 60_000;

/**
 * What to tell of a certificate that holds for longer than was asked for, by more than a tenth and five minutes: whoever wants
 * short lives has to know that a stolen key is good for longer. Undefined where it does not, or nothing was asked for.
 */
export function longerThanAsked(
  { notBefore, notAfter }: Pick<Certificate, 'notBefore' | 'notAfter'>,
  askedMs: number | undefined,
): string | undefined {
  const lifetimeMs = notAfter - notBefore;
  if (askedMs === undefined || lifetimeMs <= askedMs + Math.max(slackMs, askedMs / 10)) {
    return undefined;
  }
  const [found, asked] = [lifetimeMs, askedMs].map(formatDuration);
  return `it holds for ${found}, asked for were ${asked}`;
}
