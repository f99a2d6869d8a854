/**
 * How much work one validation may cost. The defaults end any input within a second on a small
 * machine, and are far beyond honest, much cross-signed hierarchies: the densest of bettertls, 36
 * certificates, takes 8 signature checks and 23 links.
 */
export interface WorkLimits {
  /** Public-key operations, for certificates and CRLs. Default 256. */
  readonly signatureChecks: number;
  /** Pairs of a certificate and a candidate issuer that are looked at. Default 20,000. */
  readonly links: number;
  /** Pairs of a name and a constraint. Default 250,000. */
  readonly nameComparisons: number;
  /** Nodes and edges of policy graphs. Default 20,000. */
  readonly policySteps: number;
}

export const defaultWorkLimits: WorkLimits = {
  signatureChecks: 256,
  links: 20_000,
  nameComparisons: 250_000,
  policySteps: 20_000,
};

/**
 * What is left of the limits in one validation. Once anything is used up, the whole search ends.
 */
export class WorkBudget {
  readonly limits: WorkLimits;
  readonly #left: Record<keyof WorkLimits, number>;
  #exhausted: keyof WorkLimits | undefined;

  constructor(limits: Partial<WorkLimits> = {}) {
    this.limits = { ...defaultWorkLimits, ...limits };
    this.#left = { ...this.limits };
  }

  /** Takes `amount`, or answers false and ends the search where less than that is left. */
  spend(kind: keyof WorkLimits, amount = 1): boolean {
    this.#left[kind] -= amount;
    if (this.#left[kind] >= 0) return true;
    this.#exhausted ??= kind;
    return false;
  }

  /** What was used up, or undefined while there is something of everything. */
  get exhausted(): keyof WorkLimits | undefined {
    return this.#exhausted;
  }

  /** What has been taken so far, for tests and figures. */
  spent(kind: keyof WorkLimits): number {
    return this.limits[kind] - Math.max(0, this.#left[kind]);
  }
}
