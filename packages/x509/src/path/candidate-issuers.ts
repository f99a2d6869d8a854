import { equalBytes } from '@countersign/base';
import type { Certificate } from '../certificate.ts';
import { nameKey } from './compare-names.ts';

export interface Candidate {
  readonly certificate: Certificate;
  readonly anchor: boolean;
}

/**
 * The certificates that could have issued another, found by name. The order of what a search is given does not show in
 * what it finds: duplicates count once, and candidates are ranked by their contents alone.
 */
export class CandidateIssuers {
  readonly #bySubject = new Map<string, Candidate[]>();
  readonly #at: number;

  constructor(anchors: readonly Certificate[], intermediates: readonly Certificate[], at: number) {
    this.#at = at;
    for (const certificate of anchors) this.#add({ certificate, anchor: true });
    for (const certificate of intermediates) this.#add({ certificate, anchor: false });
  }

  isAnchor(certificate: Certificate): boolean {
    const namesakes = this.#bySubject.get(nameKey(certificate.subject)) ?? [];
    return namesakes.some(
      (candidate) => candidate.anchor && equalBytes(candidate.certificate.raw, certificate.raw),
    );
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

  /** The key identifier is a hint and no rule (RFC 5280 §4.2.1.1, RFC 4158 §3.5.12): it orders, it excludes nothing. */
  #rankOf({ certificate: issuer, anchor }: Candidate, subject: Certificate): number {
    const valid = issuer.notBefore <= this.#at && this.#at <= issuer.notAfter + 999;
    return keyIdRank(subject, issuer) * 4 + (anchor ? 0 : 2) + (valid ? 0 : 1);
  }
}

/** 0: the identifiers agree; 1: one of them is missing; 2: they differ. */
export function keyIdRank(subject: Certificate, issuer: Certificate): 0 | 1 | 2 {
  const wanted = subject.authorityKeyId?.keyId;
  if (wanted === undefined || issuer.subjectKeyId === undefined) return 1;
  return equalBytes(wanted, issuer.subjectKeyId) ? 0 : 2;
}

function compareContents({ certificate: a }: Candidate, { certificate: b }: Candidate): number {
  return b.notAfter - a.notAfter || Buffer.compare(a.raw, b.raw);
}
