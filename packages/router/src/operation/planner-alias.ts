import type { FieldNode } from 'graphql';
import type { ResponseError } from '../execute/response-error.ts';

const prefix = '_countersign_as_';

/**
 * Names that an alias must not have where fetches look for fields: a key is read from what was fetched by its name, and
 * `id: name` would be taken for it, another entity's for all we know. Such an alias is another one until the answer is
 * made.
 */
export class PlannerAliases {
  readonly #names: ReadonlySet<string>;

  /** @param names of all fields that keys and requirements of the supergraph are made of */
  constructor(names: ReadonlySet<string>) {
    this.#names = names;
  }

  /** The key of a field in what is fetched. */
  keyOf({ alias, name }: FieldNode): string {
    if (alias === undefined || alias.value === name.value) return name.value;
    return this.#names.has(alias.value) ? `${prefix}${alias.value}` : alias.value;
  }

  isRenamed(field: FieldNode): boolean {
    return this.keyOf(field) !== (field.alias ?? field.name).value;
  }

  /** The field as it is fetched. */
  rename(field: FieldNode): FieldNode {
    const { alias } = field;
    if (alias === undefined || !this.isRenamed(field)) return field;
    return { ...field, alias: { ...alias, value: this.keyOf(field) } };
  }
}

/** An error at its place in the answer. */
export function atAnswer(error: ResponseError): ResponseError {
  if (error.path?.some(isRenamedStep) !== true) return error;
  const path = error.path.map((step) => (isRenamedStep(step) ? step.slice(prefix.length) : step));
  return { ...error, path };
}

function isRenamedStep(step: string | number): step is string {
  return typeof step === 'string' && step.startsWith(prefix);
}
