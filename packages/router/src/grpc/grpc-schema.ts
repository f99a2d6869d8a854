import { messageOf } from '@countersign/base';
import { parse } from 'graphql';
import type { GrpcConfig } from '../config/router-config.ts';
import { bindEntities, type EntityBinding } from './grpc-entities.ts';
import { addedScalars, GrpcNames } from './grpc-names.ts';
import type { ProtoField, ProtoMessage, ProtoSchema } from './proto-schema.ts';
import { wrong } from './proto-schema.ts';
import { type MethodBinding, selectMethods } from './select-methods.ts';

/** The methods of a gRPC service as a subgraph of a federation. */
export interface GrpcSchema {
  readonly proto: ProtoSchema;
  /** Federation 2. */
  readonly sdl: string;
  readonly methods: readonly MethodBinding[];
  /** By the name of their type. */
  readonly entities: ReadonlyMap<string, EntityBinding>;
  readonly references: GrpcConfig['references'];
}

/**
 * What of the methods the configuration selects, as SDL. Everything may be null but items of lists and keys, since
 * protobuf's own rule is that fields come and go.
 *
 * @throws CountersignError ERR_ROUTER_PROTO
 */
export function grpcSchema(proto: ProtoSchema, config: GrpcConfig): GrpcSchema {
  const names = new GrpcNames(proto, config.names);
  const methods = selectMethods(proto, config);
  const entities = bindEntities(proto, config, names);
  const printer = new Printer(proto, names, entities, config);
  const roots = (['Query', 'Mutation', 'Subscription'] as const).map((root) =>
    printer.root(
      root,
      methods.filter((each) => each.root === root),
    ),
  );
  for (const { typeMessage } of entities.values()) printer.output(typeMessage);
  printer.references();
  const header = `extend schema @link(url: "https://specs.apollo.dev/federation/v2.6", import: ${JSON.stringify(imported)})`;
  const sdl = [
    header,
    ...addedScalars.map((name) => `scalar ${name}`),
    ...roots,
    ...printer.printed(),
  ];
  const text = `${sdl.filter((each) => each !== '').join('\n\n')}\n`;
  checkSyntax(text);
  return { proto, methods, entities, references: config.references, sdl: text };
}

/** Directives are taken as they are written. */
function checkSyntax(sdl: string): void {
  try {
    parse(sdl, { noLocation: true });
  } catch (thrown) {
    throw wrong(`directives: ${messageOf(thrown)}`, thrown);
  }
}

/** What `directives` may use beside `@allow` and `@deny`, which need no declaration. */
const imported = [
  ...['@key', '@shareable', '@inaccessible', '@override', '@tag'],
  ...['@authenticated', '@requiresScopes', '@policy'],
];

/** Prints types as they are met, each once. */
class Printer {
  readonly #proto: ProtoSchema;
  readonly #names: GrpcNames;
  readonly #entities: ReadonlyMap<string, EntityBinding>;
  readonly #references: GrpcConfig['references'];
  /** By coordinate, until they are put. */
  readonly #directives: Map<string, string>;
  readonly #texts = new Map<string, string>();
  readonly #pending: (() => void)[] = [];

  constructor(
    proto: ProtoSchema,
    names: GrpcNames,
    entities: ReadonlyMap<string, EntityBinding>,
    { references, directives }: GrpcConfig,
  ) {
    this.#proto = proto;
    this.#names = names;
    this.#entities = entities;
    this.#references = references;
    this.#directives = new Map(Object.entries(directives));
  }

  root(root: string, methods: readonly MethodBinding[]): string {
    if (methods.length === 0) return '';
    const lines = methods.map(({ field, method }) => {
      const output = this.#message(method.output);
      const place = `${root}.${field}`;
      const given = this.#arguments(place, method.input);
      return `  ${field}${given}: ${this.output(output)}${this.#directivesAt(place)}`;
    });
    return `type ${root} {\n${lines.join('\n')}\n}`;
  }

  /** The type of a message that is given back. */
  output(message: ProtoMessage): string {
    const plain = this.#names.plainOf(message);
    if (plain !== undefined) return plain;
    const name = this.#names.output(message.name);
    this.#once(name, () => this.#object(name, message));
    return name;
  }

  /** What points to entities of other subgraphs, as far as they are known here. */
  references(): void {
    for (const { type, entity, key } of this.#references) {
      this.#drain();
      if (!this.#texts.has(type)) throw wrong(`references: no type "${type}" is in the schema`);
      if (this.#entities.has(entity)) continue;
      this.#once(entity, () => {
        const directive = `@key(fields: "${key}", resolvable: false)`;
        return `type ${entity} ${directive} {\n  ${key}: ID!\n}`;
      });
    }
  }

  printed(): string[] {
    this.#drain();
    const [unused] = this.#directives.keys();
    if (unused !== undefined) throw wrong(`directives: nothing in the schema is "${unused}"`);
    return [...this.#texts.values()];
  }

  #directivesAt(coordinate: string): string {
    const written = this.#directives.get(coordinate);
    this.#directives.delete(coordinate);
    return written === undefined ? '' : ` ${written}`;
  }

  /** Types may be made of themselves, so that they are only named at first. */
  #once(name: string, print: () => string): void {
    if (this.#texts.has(name)) return;
    this.#texts.set(name, '');
    this.#pending.push(() => this.#texts.set(name, print()));
  }

  #drain(): void {
    for (let next = this.#pending.shift(); next !== undefined; next = this.#pending.shift()) next();
  }

  #object(name: string, message: ProtoMessage): string {
    const entity = this.#entities.get(name);
    const lines = fieldsOf(message).map((field) => {
      const isKey = entity?.keys.includes(field.jsonName) === true;
      const type = isKey ? 'ID!' : this.#type(field, 'output');
      return `  ${field.jsonName}: ${type}${this.#directivesAt(`${name}.${field.jsonName}`)}`;
    });
    for (const { type, field, entity: of, from } of this.#references) {
      if (type !== name) continue;
      const source = message.fields.find(({ jsonName }) => jsonName === from);
      if (source === undefined) throw wrong(`references: "${type}" has no field "${from}"`);
      const named = source.isRepeated ? `[${of}]` : of;
      lines.push(`  ${field}: ${named}${this.#directivesAt(`${name}.${field}`)}`);
    }
    const directive =
      entity === undefined ? '@shareable' : `@key(fields: "${entity.keys.join(' ')}")`;
    const more = this.#directivesAt(name);
    return `type ${name} ${directive}${more} {\n${lines.join('\n')}\n}`;
  }

  #arguments(place: string, input: string): string {
    const message = this.#message(input);
    const plain = this.#names.plainOf(message);
    if (message.fields.length === 0) return '';
    if (plain !== undefined) return `(value: ${plain})`;
    const all = fieldsOf(message).map((field) => {
      const { jsonName } = field;
      return `${jsonName}: ${this.#given(field)}${this.#directivesAt(`${place}(${jsonName}:)`)}`;
    });
    return `(${all.join(', ')})`;
  }

  #given(field: ProtoField): string {
    return `${this.#type(field, 'input')}${field.isRequired ? '!' : ''}`;
  }

  #type(field: ProtoField, side: 'output' | 'input'): string {
    const { kind, typeName } = field;
    const type = this.#names.typeOf(field, side);
    if (kind === 'enum') this.#enum(typeName);
    if (kind !== 'message') return type;
    const message = this.#message(typeName);
    if (side === 'output') this.output(message);
    else if (this.#names.plainOf(message) === undefined) this.#input(message);
    return type;
  }

  #input(message: ProtoMessage): void {
    const name = this.#names.input(message.name);
    this.#once(name, () => {
      const lines = fieldsOf(message).map((field) => `  ${field.jsonName}: ${this.#given(field)}`);
      return `input ${name} {\n${lines.join('\n')}\n}`;
    });
  }

  #enum(typeName: string): void {
    const name = this.#names.output(typeName);
    this.#once(name, () => {
      const words = [...(this.#proto.enums.get(typeName)?.byName.keys() ?? [])];
      const odd = words.find((word) => ['true', 'false', 'null'].includes(word));
      if (odd !== undefined) throw wrong(`"${typeName}" has "${odd}", which GraphQL reserves`);
      return `enum ${name} {\n  ${words.join('\n  ')}\n}`;
    });
  }

  #message(name: string): ProtoMessage {
    const message = this.#proto.messages.get(name);
    if (message === undefined) throw wrong(`no message "${name}" is in the set`);
    return message;
  }
}

function fieldsOf({ name, fields }: ProtoMessage): readonly ProtoField[] {
  const seen = new Set<string>();
  for (const { jsonName } of fields) {
    if (seen.has(jsonName)) throw wrong(`"${name}" has two fields that are "${jsonName}" in JSON`);
    seen.add(jsonName);
  }
  return fields;
}
