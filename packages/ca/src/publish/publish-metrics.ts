import type { Counter, Gauge, Histogram, Meter } from '@countersign/base';
import type { SignedList } from './revocation-list.ts';

/** What is counted of lists, answers and requests. Names and labels stay as they are. */
export class PublishMetrics {
  /** `countersign_publish_requests_total{route,status}`: HTTP requests by what they were for. */
  readonly requests: Counter;
  /** `countersign_ocsp_answers_total{answer,from}`: a status, or the error it was; from `memory`, or signed on `demand`. */
  readonly answers: Counter;
  /** `countersign_ocsp_responder_renewals_total{issuer,result}`. */
  readonly renewals: Counter;
  /** `countersign_ocsp_responder_not_after_timestamp_seconds{issuer}`. */
  readonly responderEnd: Gauge;
  readonly #lists: Counter;
  readonly #listSeconds: Histogram;
  readonly #listEnd: Gauge;
  readonly #listEntries: Gauge;
  /** By issuer, then by path: an issuer with many lists is told as a whole. */
  readonly #byIssuer = new Map<string, Map<string, SignedList>>();

  constructor(meter: Meter) {
    this.requests = meter.counter({
      name: 'countersign_publish_requests_total',
      help: 'Plain HTTP requests by what they were for, and status.',
      labels: ['route', 'status'],
    });
    this.answers = meter.counter({
      name: 'countersign_ocsp_answers_total',
      help: 'OCSP answers by status or error, and whether they were at hand or signed on demand.',
      labels: ['answer', 'from'],
    });
    this.renewals = meter.counter({
      name: 'countersign_ocsp_responder_renewals_total',
      help: 'Certificates of OCSP responders by issuer and result.',
      labels: ['issuer', 'result'],
    });
    this.responderEnd = meter.gauge({
      name: 'countersign_ocsp_responder_not_after_timestamp_seconds',
      help: 'End of the certificate that OCSP answers are signed with.',
      labels: ['issuer'],
    });
    this.#lists = meter.counter({
      name: 'countersign_crl_made_total',
      help: 'Revocation lists made by issuer and result.',
      labels: ['issuer', 'result'],
    });
    this.#listSeconds = meter.histogram({
      name: 'countersign_crl_seconds',
      help: 'Time to make and sign a revocation list and to keep its number.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    });
    this.#listEnd = meter.gauge({
      name: 'countersign_crl_next_update_timestamp_seconds',
      help: "nextUpdate of the issuer's revocation list that ends first.",
      labels: ['issuer'],
    });
    this.#listEntries = meter.gauge({
      name: 'countersign_crl_entries',
      help: 'Certificates on the revocation lists of an issuer.',
      labels: ['issuer'],
    });
  }

  /** @param path undefined for a list that is not kept, but was made for somebody */
  tellList(issuer: string, path: string | undefined, list: SignedList, seconds: number): void {
    this.#lists.add(1, { issuer, result: 'ok' });
    this.#listSeconds.observe(seconds);
    if (path === undefined) return;
    const lists = this.#byIssuer.get(issuer) ?? new Map<string, SignedList>();
    this.#byIssuer.set(issuer, lists.set(path, { ...list, bytes: nothing }));
    let end = Number.POSITIVE_INFINITY;
    let entries = 0;
    for (const each of lists.values()) {
      end = Math.min(end, each.nextUpdate);
      entries += each.entries;
    }
    this.#listEnd.set(end / 1000, { issuer });
    this.#listEntries.set(entries, { issuer });
  }

  listFailed(issuer: string): void {
    this.#lists.add(1, { issuer, result: 'failed' });
  }
}

const nothing = new Uint8Array();
