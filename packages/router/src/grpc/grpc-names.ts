import type { ProtoField, ProtoKind, ProtoMessage, ProtoSchema } from './proto-schema.ts';
import { wrong } from './proto-schema.ts';
import { isEmptyMessage, wellKnownType } from './well-known-types.ts';

/** GraphQL's own scalars, and those that stand for what only protobuf has. */
export const addedScalars = ['BigInt', 'Bytes', 'DateTime', 'Duration', 'JSON', 'UInt32'] as const;

const reserved = new Set<string>([
  ...['String', 'Int', 'Float', 'Boolean', 'ID', 'Query', 'Mutation', 'Subscription'],
  ...addedScalars,
]);

/** Not a number, infinite, or a value of an open enum without a name. */
const mayBeNull: ReadonlySet<ProtoKind> = new Set(['double', 'float', 'enum']);

const scalars: Readonly<Partial<Record<ProtoKind, string>>> = {
  ...{ double: 'Float', float: 'Float' },
  ...{ int32: 'Int', sint32: 'Int', sfixed32: 'Int' },
  ...{ uint32: 'UInt32', fixed32: 'UInt32' },
  ...{ int64: 'BigInt', uint64: 'BigInt', sint64: 'BigInt', fixed64: 'BigInt', sfixed64: 'BigInt' },
  ...{ bool: 'Boolean', string: 'String', bytes: 'Bytes' },
};

/** Which GraphQL type stands for what of protobuf: one name each, and no name twice. */
export class GrpcNames {
  readonly #schema: ProtoSchema;
  readonly #given: Readonly<Record<string, string>>;
  /** By GraphQL's name. */
  readonly #owners = new Map<string, string>();

  constructor(schema: ProtoSchema, given: Readonly<Record<string, string>>) {
    this.#schema = schema;
    this.#given = given;
  }

  /** What a message is in GraphQL where it is not an object type of its own. */
  plainOf(message: ProtoMessage): string | undefined {
    return wellKnownType(message.name)?.scalar ?? (isEmptyMessage(message) ? 'Boolean' : undefined);
  }

  output(name: string): string {
    return this.#claim(this.#nameOf(name), name);
  }

  input(name: string): string {
    return this.#claim(`${this.#nameOf(name)}Input`, `${name} as an input`);
  }

  /** The type of a field, or of an argument, without what says whether it may be null. */
  typeOf(field: ProtoField, side: 'output' | 'input'): string {
    const { kind, typeName, isRepeated } = field;
    const message = kind === 'message' ? this.#schema.messages.get(typeName) : undefined;
    const named =
      message === undefined
        ? (scalars[kind] ?? this.output(typeName))
        : (this.plainOf(message) ?? this[side](typeName));
    if (!isRepeated) return named;
    // What GraphQL has no value for is null, and must not take the whole list with it.
    return side === 'output' && mayBeNull.has(kind) ? `[${named}]` : `[${named}!]`;
  }

  #claim(name: string, owner: string): string {
    const known = this.#owners.get(name);
    if (known === owner) return name;
    if (known !== undefined || reserved.has(name)) {
      const other = known ?? 'a type of GraphQL';
      throw wrong(`"${owner}" and "${other}" are both "${name}" in GraphQL`);
    }
    this.#owners.set(name, owner);
    return name;
  }

  #nameOf(full: string): string {
    const given = this.#given[full];
    if (given !== undefined) return given;
    const dot = full.lastIndexOf('.');
    const [scope, own] = [full.slice(0, Math.max(dot, 0)), full.slice(dot + 1)];
    // Of a message inside of another: both names.
    return this.#schema.messages.has(scope) ? `${this.#nameOf(scope)}_${own}` : own;
  }
}
