import type { Condition, ProjectedField, Projection, Shape } from '../operation/projection.ts';
import type { ResponseError } from './response-error.ts';

export type Data = Record<string, unknown>;
export type Variables = Readonly<Record<string, unknown>>;

/**
 * The answer's data from what the subgraphs sent: selected fields alone, in order, values of hidden enums and types as
 * null, and nulls where they may not be carried up to the nearest field that may be null (GraphQL §6.4.4).
 *
 * @param errors takes one for each refused field, and one for a null that no subgraph explained
 * @returns null where the root itself was lost
 */
export function projectData(
  data: Data,
  projection: Projection,
  variables: Variables,
  errors: ResponseError[],
): Data | null {
  return new Projector(variables, errors).object(data, projection, projection.staticType);
}

class Projector {
  readonly #variables: Variables;
  readonly #errors: ResponseError[];
  readonly #path: (string | number)[] = [];

  constructor(variables: Variables, errors: ResponseError[]) {
    this.#variables = variables;
    this.#errors = errors;
  }

  object(data: Data, projection: Projection, typename: string): Data | null {
    const fields = projection.fieldsOf(typename);
    if (fields === undefined) return null;
    const out: Data = {};
    for (const field of fields) {
      if (field.conditions.length > 0 && !holds(field.conditions, this.#variables)) continue;
      const { key, source } = field;
      this.#path.push(key);
      const raw = field.isInherited && !Object.hasOwn(data, source) ? undefined : data[source];
      const value = field.kind === 'typename' ? typename : this.#field(raw, field);
      this.#path.pop();
      if (value === null && field.shape.nonNull) return null;
      out[key] = value;
    }
    return out;
  }

  #field(value: unknown, field: ProjectedField): unknown {
    if (field.kind !== 'refused') return this.#complete(value, field, field.shape);
    this.#errors.push({
      message: `not allowed to read "${field.coordinate}"`,
      path: [...this.#path],
      extensions: { code: 'ERR_GRAPHQL_DENIED' },
    });
    return null;
  }

  #complete(value: unknown, field: ProjectedField, shape: Shape): unknown {
    const completed =
      value === null || value === undefined
        ? null
        : shape.item === undefined
          ? this.#named(value, field)
          : this.#list(value, field, shape.item);
    if (completed === null && shape.nonNull) this.#unexplained(field);
    return completed;
  }

  #list(value: unknown, field: ProjectedField, item: Shape): unknown {
    if (!Array.isArray(value)) return null;
    const { kind } = field;
    // Lists of plain values without rules are passed on as they are.
    if (kind === 'leaf' && !item.nonNull && item.item === undefined) return value;
    const out = new Array<unknown>(value.length);
    for (let i = 0; i < value.length; i += 1) {
      this.#path.push(i);
      const completed = this.#complete(value[i], field, item);
      this.#path.pop();
      if (completed === null && item.nonNull) return null;
      out[i] = completed;
    }
    return out;
  }

  #named(value: unknown, field: ProjectedField): unknown {
    if (field.kind === 'leaf') return value;
    if (field.kind === 'enum') return field.values?.has(value as string) === true ? value : null;
    const { selection } = field;
    if (selection === undefined || typeof value !== 'object') return null;
    const { __typename } = value as Data;
    const typename = typeof __typename === 'string' ? __typename : selection.staticType;
    return this.object(value as Data, selection, typename);
  }

  /** A null that violates its type without an error would be inexplicable to the caller. */
  #unexplained({ coordinate }: ProjectedField): void {
    if (this.#errors.length > 0) return;
    this.#errors.push({
      message: `Cannot return null for non-nullable field ${coordinate}.`,
      path: [...this.#path],
      extensions: { code: 'ERR_SUBGRAPH_RESPONSE' },
    });
  }
}

export function holds(conditions: readonly Condition[], variables: Variables): boolean {
  for (const { variable, wanted } of conditions) {
    if ((variables[variable] === true) !== wanted) return false;
  }
  return true;
}
