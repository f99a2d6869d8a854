import type { PlanNode } from '@graphql-hive/router-query-planner';

/** What a router tells the process of its planner: the supergraph once, then what is to be planned. */
export type ParentMessage = { readonly sdl: string } | (PlanRequest & { readonly id: number });

export interface PlanRequest {
  readonly query: string;
  readonly operationName: string | null;
  readonly labels: readonly string[];
  readonly percentage: number;
}

/** What it says of the supergraph. */
export interface PlannerFacts {
  /** SDL of what callers may see. */
  readonly publicSdl: string;
  readonly labels: readonly string[];
  readonly percentages: readonly number[];
}

export type ChildMessage =
  | PlannerFacts
  | { readonly broken: string }
  | { readonly id: number; readonly node: PlanNode | null }
  | { readonly id: number; readonly error: string };
