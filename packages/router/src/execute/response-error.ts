/** An error of a GraphQL response (GraphQL §7.1.2). */
export interface ResponseError {
  readonly message: string;
  readonly path?: readonly (string | number)[] | undefined;
  readonly locations?: readonly { readonly line: number; readonly column: number }[] | undefined;
  readonly extensions?: Readonly<Record<string, unknown>> | undefined;
}

/** What a subgraph answered, or that it did not. */
export interface SubgraphAnswer {
  readonly data: Record<string, unknown> | null | undefined;
  readonly errors: readonly ResponseError[];
}
