/** A query plan: which fetches, in which order, and how their answers fit together. */
export type Plan =
  | FetchPlan
  | BatchFetchPlan
  | { readonly kind: 'sequence' | 'parallel'; readonly nodes: readonly Plan[] }
  | FlattenPlan
  | {
      readonly kind: 'condition';
      readonly variable: string;
      readonly whenTrue: Plan | undefined;
      readonly whenFalse: Plan | undefined;
    }
  | { readonly kind: 'subscription'; readonly primary: FetchPlan };

/** What is asked of one subgraph. */
export interface SubgraphOperation {
  readonly subgraph: string;
  readonly operationKind: 'query' | 'mutation' | 'subscription';
  readonly operation: string;
  /** Of the caller's variables. */
  readonly variables: readonly string[];
  /** The beginning of the request's body, up to the variables, made once. */
  readonly bodyPrefix: string;
}

export interface FetchPlan extends SubgraphOperation {
  readonly kind: 'fetch';
  readonly outputRewrites: readonly Rewrite[];
}

/** Fetches more fields of the entities that stand at a path. */
export interface FlattenPlan {
  readonly kind: 'flatten';
  readonly path: readonly PathStep[];
  readonly fetch: EntityFetch;
}

export interface EntityFetch extends SubgraphOperation, EntityNeeds {}

export interface EntityNeeds {
  readonly requires: readonly Required[];
  readonly inputRewrites: readonly Rewrite[];
  readonly outputRewrites: readonly Rewrite[];
}

/** Several entity fetches of one subgraph in one request. */
export interface BatchFetchPlan extends SubgraphOperation {
  readonly kind: 'batch';
  readonly aliases: readonly (EntityNeeds & {
    readonly alias: string;
    readonly variable: string;
    readonly paths: readonly (readonly PathStep[])[];
  })[];
}

export type PathStep =
  | { readonly kind: 'field'; readonly name: string }
  | { readonly kind: 'list' }
  | { readonly kind: 'type'; readonly names: readonly string[] };

/** What of an entity a subgraph needs to resolve it. */
export type Required =
  | {
      readonly kind: 'field';
      readonly name: string;
      readonly key: string;
      readonly selections: readonly Required[] | undefined;
    }
  | {
      readonly kind: 'type';
      readonly name: string;
      readonly selections: readonly Required[];
    };

export type Rewrite = { readonly path: readonly RewriteStep[] } & (
  | { readonly kind: 'set'; readonly value: unknown }
  | { readonly kind: 'rename'; readonly to: string }
);

export type RewriteStep =
  | { readonly kind: 'key'; readonly name: string }
  | { readonly kind: 'type'; readonly names: readonly string[] };
