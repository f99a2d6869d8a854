import { type Denial, denial, formatDuration } from '@countersign/base';

export interface LifetimeQuestion {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** What the requester wishes, if anything. */
  readonly askedMs: number | undefined;
  readonly defaultMs: number;
  /** The longest that is granted, and by what; the shortest of them binds. */
  readonly limits: readonly { readonly ms: number | undefined; readonly by: string }[];
  /** From the first to the last moment of every certificate of the issuer's chain. */
  readonly issuer: { readonly name: string; readonly notBefore: number; readonly notAfter: number };
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
 * From when to when. It begins a little before now (60 s, or a twentieth of a shorter lifetime), never lasts longer than
 * the limit in all, and never outlives the issuer's chain: a lifetime that was asked for is refused then, the default is cut.
 *
 * Denials: ERR_POLICY_TTL, ERR_POLICY_ISSUER_ENDS.
 */
export function decideLifetime(question: LifetimeQuestion): Lifetime | Denial {
  const { at, askedMs, issuer } = question;
  let limitMs = Number.POSITIVE_INFINITY;
  let limitedBy = '';
  for (const { ms, by } of question.limits) {
    if (ms !== undefined && ms < limitMs) [limitMs, limitedBy] = [ms, by];
  }
  if (askedMs !== undefined && askedMs > limitMs) {
    const sides = `lifetime "${formatDuration(askedMs)}" is longer than ${limitedBy} "${formatDuration(limitMs)}"`;
    return denial('ERR_POLICY_TTL', sides, { askedMs, limitMs });
  }
  const lifeS = Math.floor(Math.min(askedMs ?? question.defaultMs, limitMs) / 1000);
  if (lifeS < 1) {
    const sides = `lifetime "${askedMs ?? question.defaultMs}ms" is shorter than the least of "1s"`;
    return denial('ERR_POLICY_TTL', sides, { askedMs });
  }
  const nowS = Math.floor(at / 1000);
  const notBeforeS = Math.max(nowS - skewFor(lifeS), Math.ceil(issuer.notBefore / 1000));
  const wishedS = Math.min(nowS + lifeS, notBeforeS + Math.floor(limitMs / 1000));
  const lastS = Math.floor(issuer.notAfter / 1000);
  if (wishedS > lastS && (askedMs !== undefined || lastS <= nowS)) {
    const sides = `would last until ${time(wishedS)}, its issuer "${issuer.name}" lasts until ${time(lastS)}`;
    return denial('ERR_POLICY_ISSUER_ENDS', `certificate ${sides}`, {
      issuer: issuer.name,
      possibleUntil: lastS * 1000,
    });
  }
  return { ok: true, notBefore: notBeforeS * 1000, notAfter: Math.min(wishedS, lastS) * 1000 };
}

/** The lifetime that was asked for when a certificate of ours was made: what a renewal without a wish gets again. */
export function lifetimeOf(certificate: {
  readonly notBefore: number;
  readonly notAfter: number;
}): number {
  const wholeS = Math.round((certificate.notAfter - certificate.notBefore) / 1000);
  const capped = largestSkewS * skewFraction;
  const lifeS =
    wholeS >= capped + largestSkewS
      ? wholeS - largestSkewS
      : wholeS - Math.floor(wholeS / (skewFraction + 1));
  return Math.max(1, lifeS) * 1000;
}

function skewFor(lifeS: number): number {
  return Math.min(largestSkewS, Math.floor(lifeS / skewFraction));
}

function time(seconds: number): string {
  return new Date(seconds * 1000).toISOString();
}
