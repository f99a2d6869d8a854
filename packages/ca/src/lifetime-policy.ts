import { type Denial, denial, formatDuration } from '@countersign/base';
import type { LifetimeProfile } from './profile/certificate-profile.ts';

export interface LifetimeQuestion {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** What the requester wishes, if anything. */
  readonly askedMs: number | undefined;
  /** From when, where that is wished later than now; it lasts no longer from now on than it could have without. */
  readonly beginsAt?: number | undefined;
  /** What the grant says where nothing is wished: the join token's lifetime. */
  readonly grantedMs?: number | undefined;
  /** The certificate that is renewed: where nothing is wished, its lifetime is given again. */
  readonly renewed?: { readonly notBefore: number; readonly notAfter: number } | undefined;
  readonly profile: LifetimeProfile;
  /** The longest that is granted beside the profile, and by what; the shortest of all binds. */
  readonly limits?: readonly { readonly ms: number | undefined; readonly by: string }[] | undefined;
  /** From the first to the last moment of every certificate of the issuer's chain. */
  readonly issuer: { readonly name: string; readonly notBefore: number; readonly notAfter: number };
  /** From 0 to below 1, for the jitter. */
  readonly random: () => number;
}

export interface Lifetime {
  readonly ok: true;
  /** Whole seconds, as certificates have them. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** Clocks of relying parties may be this far behind ours. */
const largestSkewS = 60;
/** Of a short lifetime only a twentieth: who asks for 20 s has clocks that agree, and renews by what is left. */
const skewFraction = 20;

/**
 * From when to when. It begins a little before now (what the profile says; else 60 s, or a twentieth of a shorter
 * lifetime), never lasts longer than the limit in all, and never outlives the issuer's chain: a lifetime that was asked
 * for is refused then unless the profile clamps it, the default is cut.
 *
 * Denials: ERR_POLICY_TTL, ERR_POLICY_ISSUER_ENDS.
 */
export function decideLifetime(question: LifetimeQuestion): Lifetime | Denial {
  const { at, askedMs, issuer, profile } = question;
  const limit = limitOf(question);
  const wishMs = askedMs ?? unaskedMs(question);
  if (askedMs !== undefined && askedMs > limit.ms) return beyond(askedMs, limit);
  const lifeMs = Math.min(wishMs, limit.ms);
  if (lifeMs < profile.minMs) {
    const least = formatDuration(profile.minMs);
    const sides = `lifetime "${written(lifeMs)}" is shorter than the least of "${least}"`;
    return denial('ERR_POLICY_TTL', sides, { askedMs, lifeMs, leastMs: profile.minMs });
  }
  const lifeS = Math.floor(lifeMs / 1000);
  const nowS = Math.floor(at / 1000);
  const beginS = Math.floor((question.beginsAt ?? at) / 1000);
  const limitS = Math.floor(limit.ms / 1000);
  if (beginS < nowS - largestSkewS || beginS + lifeS > nowS + limitS) {
    return wrongBeginning(question, beginS, limit);
  }
  const skewS = question.beginsAt === undefined ? skewFor(lifeS, limitS, profile.backdateMs) : 0;
  const notBeforeS = Math.max(beginS - skewS, Math.ceil(issuer.notBefore / 1000));
  const wishedS = Math.min(beginS + lifeS, notBeforeS + limitS);
  const lastS = Math.floor(issuer.notAfter / 1000);
  const isCut = askedMs === undefined || profile.beyondChain === 'clamp';
  const leastS = Math.floor(profile.minMs / 1000);
  if (wishedS > lastS && (!isCut || lastS - nowS < leastS)) {
    const sides = `would last until ${time(wishedS)}, its issuer "${issuer.name}" lasts until ${time(lastS)}`;
    return denial('ERR_POLICY_ISSUER_ENDS', `certificate ${sides}`, {
      issuer: issuer.name,
      possibleUntil: lastS * 1000,
    });
  }
  const earlierS = jitterS(question, Math.min(wishedS, lastS) - nowS);
  return {
    ok: true,
    notBefore: notBeforeS * 1000,
    notAfter: (Math.min(wishedS, lastS) - earlierS) * 1000,
  };
}

/** The lifetime that was asked for when a certificate of ours was made: what a renewal without a wish gets again. */
export function lifetimeOf(
  certificate: { readonly notBefore: number; readonly notAfter: number },
  backdateMs?: number | undefined,
): number {
  const wholeS = Math.round((certificate.notAfter - certificate.notBefore) / 1000);
  if (backdateMs !== undefined) {
    // As skewFor has it, a short one is backdated by no more than it lasts.
    const lifeS = Math.max(wholeS - Math.floor(backdateMs / 1000), Math.ceil(wholeS / 2));
    return Math.max(1, lifeS) * 1000;
  }
  const capped = largestSkewS * skewFraction;
  const lifeS =
    wholeS >= capped + largestSkewS
      ? wholeS - largestSkewS
      : wholeS - Math.floor(wholeS / (skewFraction + 1));
  return Math.max(1, lifeS) * 1000;
}

function limitOf({ profile, limits = [] }: LifetimeQuestion): {
  readonly ms: number;
  readonly by: string;
} {
  let shortest = { ms: profile.maxMs, by: profile.maxBy };
  for (const { ms, by } of limits) {
    if (ms !== undefined && ms < shortest.ms) shortest = { ms, by };
  }
  return shortest;
}

function unaskedMs({ grantedMs, renewed, profile, issuer }: LifetimeQuestion): number {
  if (grantedMs !== undefined) return grantedMs;
  if (renewed === undefined) return profile.validityMs;
  // Of one that begins with its issuer nobody knows how much of its backdating was cut.
  const isCut = profile.backdateMs !== undefined && renewed.notBefore < issuer.notBefore + 1000;
  if (isCut) return profile.validityMs;
  // A least that was raised since is what a renewal gets, too.
  return Math.max(lifetimeOf(renewed, profile.backdateMs), profile.minMs);
}

/** A renewal without a wish gets the lifetime of the first certificate again, which was drawn by chance then. */
function jitterS(question: LifetimeQuestion, lifeS: number): number {
  const { profile, renewed, askedMs, random } = question;
  if (profile.jitterMs === 0 || (renewed !== undefined && askedMs === undefined)) return 0;
  const room = Math.min(lifeS - Math.ceil(profile.minMs / 1000), Math.floor(lifeS / 2));
  return Math.floor(random() * Math.max(0, Math.min(profile.jitterMs / 1000, room)));
}

function beyond(askedMs: number, limit: { readonly ms: number; readonly by: string }): Denial {
  const sides = `lifetime "${formatDuration(askedMs)}" is longer than ${limit.by} "${formatDuration(limit.ms)}"`;
  return denial('ERR_POLICY_TTL', sides, { askedMs, limitMs: limit.ms });
}

function wrongBeginning(
  { at, askedMs, beginsAt }: LifetimeQuestion,
  beginS: number,
  limit: { readonly ms: number; readonly by: string },
): Denial {
  const span = `from "${time(Math.floor(at / 1000))}" on, within ${limit.by} "${formatDuration(limit.ms)}"`;
  const sides = `would begin at "${time(beginS)}", it begins and ends ${span}`;
  return denial('ERR_POLICY_TTL', `certificate ${sides}`, { askedMs, beginsAt, limitMs: limit.ms });
}

function skewFor(lifeS: number, limitS: number, backdateMs: number | undefined): number {
  if (backdateMs !== undefined) {
    return Math.min(Math.floor(backdateMs / 1000), lifeS, Math.floor(limitS / 2));
  }
  return Math.min(largestSkewS, Math.floor(lifeS / skewFraction));
}

/** Whole seconds as a duration, less as it is. */
function written(ms: number): string {
  return ms < 1000 ? `${ms}ms` : formatDuration(ms);
}

function time(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
