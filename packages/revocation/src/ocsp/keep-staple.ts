import { type Clock, formatDuration, type Log, type Meter } from '@countersign/base';
import type { BundleSource, Changes, SvidSource, X509Svid } from '@countersign/spiffe';
import { validatePath } from '@countersign/x509';
import { holds, type Kept } from '../checking/kept-answer.ts';
import { KeptAnswers } from '../checking/kept-answers.ts';
import { momentOf } from '../feed-silence.ts';
import { type AskOptions, askResponder, type OcspKept, type OcspSubject } from './ask-responder.ts';
import { keyOf, subjectOf } from './ocsp-method.ts';

export interface KeepStapleOptions extends Omit<AskOptions, 'now' | 'nonce'> {
  /** Whose certificates to staple for; asked again at each change it tells of. */
  readonly svids: SvidSource & Partial<Changes>;
  readonly bundles: BundleSource;
  /** Asked instead of the responder that the certificate names. */
  readonly url: string | undefined;
  readonly refreshMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly random: () => number;
}

export interface StapleKeeper {
  /** The answer to show with this identity; undefined while there is none that is fresh and good. */
  staple(svid: X509Svid): Uint8Array | undefined;
  report(): Readonly<Record<string, unknown>>;
  stop(): Promise<void>;
}

/** Our own certificates at the same time: the one in force, and those before it that a handshake may still show. */
const capacity = 16;

/**
 * Keeps an OCSP answer about our own certificate at hand for the handshakes that show it, renewed ahead of its end, and
 * another one as soon as the certificate rotates. Only a fresh `good` is shown: what else is known goes to the log.
 */
export function keepStaple(options: KeepStapleOptions): StapleKeeper {
  const { clock, log, svids } = options;
  const asking: AskOptions = { ...options, nonce: false, now: () => clock.now() };
  const answers = new KeptAnswers<OcspSubject, OcspKept>({
    ...options,
    method: 'own staple',
    look: (subject, known, signal) => askResponder(asking, subject, known, signal),
    isNews: (before, now) => now.status !== (before?.status ?? 'good'),
    maxStaleMs: 0,
    capacity,
  });
  const keptOf = new WeakMap<X509Svid, Kept<OcspSubject, OcspKept>>();

  function keptFor(svid: X509Svid): Kept<OcspSubject, OcspKept> | undefined {
    const known = keptOf.get(svid);
    const subject = known === undefined ? ownSubject(options, svid) : known.subject;
    if (subject === undefined) return undefined;
    const kept = known === undefined ? answers.of(keyOf(subject), subject) : answers.keep(known);
    keptOf.set(svid, kept);
    return kept;
  }

  function begin(): void {
    const kept = keptFor(svids.svid());
    if (kept !== undefined) void answers.want(kept);
  }

  // Told before anything is forgotten, too: the identity in force keeps its answer though nobody asks for a staple.
  const unfollowAnswers = answers.onChange(function warnOrKeep() {
    const kept = keptFor(svids.svid());
    if (kept?.answer?.status !== 'revoked') return;
    const { serialHex } = kept.subject.certificate;
    const { from, reason } = kept.answer;
    log.error({ serial: serialHex, from, reason }, 'our own certificate is revoked');
  });
  const unfollowSvids = svids.onChange?.(begin);
  begin();

  return {
    staple(svid) {
      const kept = keptFor(svid);
      const isShown = kept?.answer?.status === 'good' && holds(kept, momentOf(clock), 0);
      return isShown ? kept.answer?.raw : undefined;
    },
    report() {
      const kept = keptFor(svids.svid());
      if (kept === undefined) return { state: 'none', failure: 'issuer not found' };
      const { answer, failure, isFresh } = kept;
      const leftMs = (answer?.nextUpdate ?? 0) - clock.now();
      return {
        state: isFresh ? answer?.status : 'none',
        ...(isFresh && { endsIn: formatDuration(Math.max(0, leftMs)) }),
        ...(failure !== undefined && { failure }),
      };
    },
    async stop() {
      unfollowAnswers();
      unfollowSvids?.();
      await answers.stop();
    },
  };
}

function ownSubject(
  { bundles, url, clock }: KeepStapleOptions,
  { chain, spiffeId }: X509Svid,
): OcspSubject | undefined {
  const [leaf, ...intermediates] = chain;
  const anchors = bundles.bundle(spiffeId.trustDomain)?.authorities ?? [];
  const path = validatePath({ leaf, intermediates, anchors, at: clock.now() });
  const [, issuer, ...above] = path.ok ? path.chain : [];
  return issuer === undefined ? undefined : subjectOf(leaf, issuer, above, url);
}
