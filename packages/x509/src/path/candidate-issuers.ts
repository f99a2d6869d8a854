import { equalBytes } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import type { Name } from '../name.ts';
import { nameKey } from './compare-names.ts';

export interface Candidate {
  readonly certificate: Certificate;
  readonly anchor: boolean;
  /** It is an anchor, or the names of what is given lead on from it to one. */
  readonly promising: boolean;
}

/**
 * The certificates that could have issued another, found by name. The order of what a search is
 * given does not show in what it finds: duplicates count once, and candidates are ranked by their
 * contents alone.
 */
export class CandidateIssuers {
  readonly #bySubject = new Map<string, Candidate[]>();
  readonly #at: number;

  constructor(anchors: readonly Certificate[], intermediates: readonly Certificate[], at: number) {
    this.#at = at;
    const within = namesBelow(anchors, intermediates);
    for (const certificate of anchors) {
      this.#add({ certificate, anchor: true, promising: true });
    }
    for (const certificate of intermediates) {
      const promising = within.has(nameKey(certificate.issuer));
      this.#add({ certificate, anchor: false, promising });
    }
  }

  isAnchor(certificate: Certificate): boolean {
    const namesakes = this.#bySubject.get(nameKey(certificate.subject)) ?? [];
    return namesakes.some(
      (candidate) => candidate.anchor && equalBytes(candidate.certificate.raw, certificate.raw),
    );
  }

  /** Everything that was given with this subject, anchors included. */
  named(subject: Name): readonly Certificate[] {
    return (this.#bySubject.get(nameKey(subject)) ?? []).map(({ certificate }) => certificate);
  }

  /** All whose subject is the certificate's issuer, the likeliest first. */
  issuersOf(certificate: Certificate): readonly Candidate[] {
    const namesakes = this.#bySubject.get(nameKey(certificate.issuer)) ?? [];
    if (namesakes.length < 2) return namesakes;
    const ranked = namesakes.map((candidate) => ({
      candidate,
      rank: this.#rankOf(candidate, certificate),
    }));
    ranked.sort((a, b) => a.rank - b.rank || compareContents(a.candidate, b.candidate));
    return ranked.map(({ candidate }) => candidate);
  }

  #add(candidate: Candidate): void {
    const key = nameKey(candidate.certificate.subject);
    const namesakes = this.#bySubject.get(key) ?? [];
    this.#bySubject.set(key, namesakes);
    // anchors come first, so that an intermediate that is one too counts as the anchor
    const { raw } = candidate.certificate;
    if (!namesakes.some((known) => equalBytes(known.certificate.raw, raw)))
      namesakes.push(candidate);
  }

  /**
   * The key identifier is a hint and no rule (RFC 5280 §4.2.1.1, RFC 4158 §3.5.12): it orders, it
   * excludes nothing.
   */
  #rankOf({ certificate: issuer, anchor, promising }: Candidate, subject: Certificate): number {
    const valid = issuer.notBefore <= this.#at && this.#at <= issuer.notAfter + 999;
    const place = anchor ? 0 : promising ? 2 : 12;
    return place + keyIdRank(subject, issuer) * 4 + (valid ? 0 : 1);
  }
}

/** 0: the identifiers agree; 1: one of them is missing; 2: they differ. */
export function keyIdRank(subject: Certificate, issuer: Certificate): 0 | 1 | 2 {
  const wanted = subject.authorityKeyId?.keyId;
  if (wanted === undefined || issuer.subjectKeyId === undefined) return 1;
  return equalBytes(wanted, issuer.subjectKeyId) ? 0 : 2;
}

/** The subjects of anchors, and of whatever hangs below them by name alone. */
function namesBelow(
  anchors: readonly Certificate[],
  intermediates: readonly Certificate[],
): ReadonlySet<string> {
  const below = new Map<string, string[]>();
  for (const { issuer, subject } of intermediates) {
    const key = nameKey(issuer);
    const subjects = below.get(key) ?? [];
    below.set(key, subjects);
    subjects.push(nameKey(subject));
  }
  const reached = new Set(anchors.map(({ subject }) => nameKey(subject)));
  // a set's iteration meets what is added to it on the way
  for (const key of reached) for (const subject of below.get(key) ?? []) reached.add(subject);
  return reached;
}

function compareContents({ certificate: a }: Candidate, { certificate: b }: Candidate): number {
  return b.notAfter - a.notAfter || Buffer.compare(a.raw, b.raw);
}
