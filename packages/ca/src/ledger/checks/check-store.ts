import type { CheckValues } from './table-checks.ts';

/** A revocation of a serial that was archived. */
export interface ArchivedRevocation {
  readonly position: number;
  readonly serialHex: string;
  /** Neither a hold nor a release. */
  readonly isFinal: boolean;
}

/** What the tables say against each other, from inside one transaction. */
export interface CheckStore {
  /** Of the records at some positions; where those begin with the first, of everything that has no position too. */
  contradictions(values: CheckValues): readonly string[];
  archivedRevocations(above: number, upTo: number): readonly ArchivedRevocation[];
}

export const noChecks: CheckStore = {
  contradictions: () => [],
  archivedRevocations: () => [],
};
