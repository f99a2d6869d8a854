import type { Clock, Log, Meter } from '@countersign/base';
import type { RevocationStatus, VerifiedPeer } from '@countersign/spiffe';
import type { Certificate } from '@countersign/x509';
import { authorityPrint } from '../checking/authority-print.ts';
import type { Kept } from '../checking/kept-answer.ts';
import { KeptAnswers } from '../checking/kept-answers.ts';
import type { RevocationMethod } from '../checking/revocation-method.ts';
import { type AskOptions, askResponder, type OcspKept, type OcspSubject } from './ask-responder.ts';

export interface OcspMethodOptions extends Omit<AskOptions, 'now'> {
  /** Asked instead of the responders that certificates name. */
  readonly url: string | undefined;
  /** `chain`: every certificate below the anchor is asked about; `leaf`: the peer's own alone. */
  readonly scope: 'chain' | 'leaf';
  readonly refreshMs: number;
  readonly maxStaleMs: number;
  /** Certificates whose answers are kept at the same time. */
  readonly capacity: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly random: () => number;
}

type KeptCertificate = Kept<OcspSubject, OcspKept>;

const good: RevocationStatus = { status: 'good' };
const mostUrls = 4;
const mostFailuresReported = 20;

/** Revocation by asking the responder of each certificate (RFC 6960), with answers kept until they end. */
export class OcspMethod implements RevocationMethod {
  readonly name = 'ocsp';
  readonly #options: OcspMethodOptions;
  readonly #answers: KeptAnswers<OcspSubject, OcspKept>;
  readonly #keptOf = new WeakMap<VerifiedPeer, KeptCertificate[]>();

  constructor(options: OcspMethodOptions) {
    const { clock } = options;
    const asking = { ...options, now: () => clock.now() };
    this.#options = options;
    this.#answers = new KeptAnswers({
      ...options,
      method: this.name,
      look: (subject, known, signal) => askResponder(asking, subject, known, signal),
      // Nobody was let in by the word of an answer that was not there yet.
      isNews: (before, now) => now.status !== (before?.status ?? 'good'),
    });
  }

  onChange(listener: () => void): () => void {
    return this.#answers.onChange(listener);
  }

  check(peer: VerifiedPeer): RevocationStatus {
    let unknown: RevocationStatus | undefined;
    for (const kept of this.#ofPeer(peer)) {
      const status = statusOf(kept, this.#answers.isUsable(kept));
      if (status.status === 'revoked') return status;
      if (status.status === 'unknown') unknown ??= status;
    }
    return unknown ?? good;
  }

  prepare(peer: VerifiedPeer): Promise<void> | undefined {
    const pending = this.#ofPeer(peer)
      .map((kept) => this.#answers.want(kept))
      .filter((each) => each !== undefined);
    if (pending.length === 0) return undefined;
    return Promise.all(pending).then(() => {});
  }

  report(): Readonly<Record<string, unknown>> {
    const counts = { good: 0, revoked: 0, none: 0 };
    const failures = new Set<string>();
    for (const { answer, failure } of this.#answers) {
      counts[answer?.status ?? 'none'] += 1;
      if (failure !== undefined && failures.size < mostFailuresReported) failures.add(failure);
    }
    const { scope, url } = this.#options;
    return { scope, ...(url !== undefined && { url }), answers: counts, failures: [...failures] };
  }

  async stop(): Promise<void> {
    await this.#answers.stop();
  }

  #ofPeer(peer: VerifiedPeer): readonly KeptCertificate[] {
    const known = this.#keptOf.get(peer);
    const kept =
      known?.map((each) => this.#answers.keep(each)) ??
      this.#subjectsOf(peer).map((subject) => this.#answers.of(keyOf(subject), subject));
    this.#keptOf.set(peer, kept);
    return kept;
  }

  #subjectsOf({ chain }: VerifiedPeer): OcspSubject[] {
    const { scope, url } = this.#options;
    const asked = scope === 'leaf' ? chain.slice(0, 1) : chain.slice(0, -1);
    return asked.flatMap((certificate, i) => {
      const issuer = chain[i + 1];
      if (issuer === undefined) return [];
      return [subjectOf(certificate, issuer, chain.slice(i + 2), url)];
    });
  }
}

/** @param url of the operator, instead of those that the certificate names */
export function subjectOf(
  certificate: Certificate,
  issuer: Certificate,
  above: readonly Certificate[],
  url: string | undefined,
): OcspSubject {
  const isConfigured = url !== undefined;
  const urls = isConfigured ? [url] : respondersOf(certificate);
  return { certificate, issuer, above, urls, isConfigured };
}

function respondersOf({ authorityInfoAccess = [] }: Certificate): string[] {
  return authorityInfoAccess
    .flatMap(({ method, location }) =>
      method === 'ocsp' && location.kind === 'uri' ? [location.value] : [],
    )
    .filter((uri) => /^http:/i.test(uri))
    .slice(0, mostUrls);
}

/** What an answer says of its certificate; a revocation also when it is too old to say anything good. */
export function statusOf(
  {
    answer,
    failure,
    subject,
  }: Pick<KeptCertificate, 'answer' | 'failure'> & { subject: Pick<OcspSubject, 'certificate'> },
  isUsable: boolean,
): RevocationStatus {
  const { serialHex } = subject.certificate;
  if (answer?.status === 'revoked') {
    const { reason = 'unspecified', revokedAt = answer.thisUpdate, from } = answer;
    // RFC 5280 §5.3.1: of these alone, a hold may be over since
    if (isUsable || reason !== 'certificateHold') {
      const toldBy = `certificate ${serialHex}, told by ${from}`;
      return { status: 'revoked', by: 'serial', reason, at: revokedAt, toldBy };
    }
  }
  if (isUsable) return good;
  if (failure !== undefined) return { status: 'unknown', detail: failure };
  if (answer === undefined) {
    return { status: 'unknown', detail: `no answer about certificate ${serialHex} yet` };
  }
  const over = new Date(answer.nextUpdate).toISOString();
  return {
    status: 'unknown',
    detail: `answer of "${answer.from}" was due for an update at ${over}`,
  };
}

export function keyOf({ certificate, issuer }: OcspSubject): string {
  return `certificate ${certificate.serialHex} of ${authorityPrint(issuer)}`;
}
