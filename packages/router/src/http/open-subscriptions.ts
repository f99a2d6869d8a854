import type { RouterLimits } from '../config/router-config.ts';
import type { RouterMetrics } from '../router-metrics.ts';

/** How many operations stream at once, however they came in. */
export class OpenSubscriptions {
  readonly #metrics: RouterMetrics;
  #count = 0;

  constructor(metrics: RouterMetrics) {
    this.#metrics = metrics;
  }

  /** Takes a place, or says no. */
  open({ max_subscriptions: most }: RouterLimits): boolean {
    if (this.#count >= most) return false;
    this.#count += 1;
    this.#metrics.subscriptions(this.#count);
    return true;
  }

  close(): void {
    this.#count -= 1;
    this.#metrics.subscriptions(this.#count);
  }
}
