import type { Counter, Gauge, Histogram, Meter } from '@countersign/base';
import type { Certificate } from '@countersign/x509';

/** What the authority counts. Names and labels stay as they are: dashboards are made of them. */
export interface AuthorityMetrics {
  /** `countersign_issuance_total{result}`: `issued`, or the code of the refusal or failure. */
  readonly issuance: Counter;
  /** `countersign_issuance_seconds`: from the request to the ledger's acknowledgement, refused ones included. */
  readonly issuanceSeconds: Histogram;
  /** `countersign_revocations_total{by,reason}`. */
  readonly revocations: Counter;
  /** `countersign_revocation_acknowledged_seconds`: from the append to the last live lease's acknowledgement. */
  readonly acknowledgedSeconds: Histogram;
  /** `countersign_tokens_created_total`. */
  readonly tokens: Counter;
  /** `countersign_certificates_orphaned_total`: intents without a certificate that start-up found. */
  readonly orphans: Counter;
  /** `countersign_certificate_not_after_seconds{certificate}`: `root`, each intermediate, `authority`. */
  readonly notAfter: Gauge;
}

export function authorityMetrics(meter: Meter): AuthorityMetrics {
  return {
    issuance: meter.counter({
      name: 'countersign_issuance_total',
      help: 'Certificate requests by result: issued, or the code of the refusal.',
      labels: ['result'],
    }),
    issuanceSeconds: meter.histogram({
      name: 'countersign_issuance_seconds',
      help: 'Time from a certificate request to the ledger having its certificate.',
      buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2],
    }),
    revocations: meter.counter({
      name: 'countersign_revocations_total',
      help: 'Revocations by what they name and why.',
      labels: ['by', 'reason'],
    }),
    acknowledgedSeconds: meter.histogram({
      name: 'countersign_revocation_acknowledged_seconds',
      help: 'Time from the append of a revocation to the acknowledgement of every live gateway.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30],
    }),
    tokens: meter.counter({
      name: 'countersign_tokens_created_total',
      help: 'Join tokens created.',
    }),
    orphans: meter.counter({
      name: 'countersign_certificates_orphaned_total',
      help: 'Intents without a certificate that start-up found and closed.',
    }),
    notAfter: meter.gauge({
      name: 'countersign_certificate_not_after_seconds',
      help: 'When a certificate ends, in seconds since the Unix epoch.',
      labels: ['certificate'],
    }),
  };
}

export function tellNotAfter(
  root: Certificate,
  issuers: readonly { readonly name: string; readonly certificate: Certificate }[],
  metrics: AuthorityMetrics,
): void {
  const all = [{ name: 'root', certificate: root }, ...issuers];
  for (const { name, certificate } of all) {
    metrics.notAfter.set(certificate.notAfter / 1000, { certificate: name });
  }
}
