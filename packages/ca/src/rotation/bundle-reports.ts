import { type Clock, type Log, messageOf } from '@countersign/base';
import type { Ledger } from '../ledger/ledger.ts';
import type { BundleReport } from '../ledger/rotation-records.ts';

/** Who was heard again is written again after this long. */
const againMs = 60_000;
/** Beyond it the oldest is forgotten, and written once more when it is heard. */
const mostKnown = 100_000;

/** What holders say of their trust bundles on its way to the ledger: news at once, repetitions now and then. */
export class BundleReports {
  readonly #options: { readonly ledger: Ledger; readonly clock: Clock; readonly log: Log };
  readonly #written = new Map<string, { readonly digest: string; readonly at: number }>();

  constructor(options: { readonly ledger: Ledger; readonly clock: Clock; readonly log: Log }) {
    this.#options = options;
  }

  /** Durable when it resolves; never rejects, for what is lost is said again. */
  async note(report: BundleReport): Promise<void> {
    const { ledger, clock, log } = this.#options;
    const { serialHex, instance, digest } = report;
    const key = `${serialHex} ${instance}`;
    const at = clock.monotonic();
    const known = this.#written.get(key);
    if (known?.digest === digest && at - known.at < againMs) return;
    this.#written.delete(key);
    this.#written.set(key, { digest, at });
    const [oldest] = this.#written.keys();
    if (this.#written.size > mostKnown && oldest !== undefined) this.#written.delete(oldest);
    await ledger.reportBundle(report).catch((thrown: unknown) => {
      this.#written.delete(key);
      log.warn({ serial: serialHex, error: messageOf(thrown) }, 'report of a bundle not kept');
    });
  }

  /** What was reported is of no use any more. */
  forget(): void {
    this.#written.clear();
  }
}
