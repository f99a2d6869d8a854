import type { GrpcConfig } from '../config/router-config.ts';
import type { GrpcNames } from './grpc-names.ts';
import {
  type ProtoField,
  type ProtoMessage,
  type ProtoMethod,
  type ProtoSchema,
  wrong,
} from './proto-schema.ts';
import { isMeant } from './select-methods.ts';

/** How entities of a type are had by their keys. */
export interface EntityBinding {
  readonly type: string;
  readonly typeMessage: ProtoMessage;
  /** Fields of the type that are its key. */
  readonly keys: readonly string[];
  readonly method: ProtoMethod;
  /** Argument of the method by field of the key. */
  readonly argumentOf: ReadonlyMap<string, string>;
  /** Where in the answer the entity stands; undefined: it is the answer. */
  readonly result: string | undefined;
  /** Whether one call asks for many, whose order does not matter. */
  readonly isBatch: boolean;
}

/** @throws CountersignError ERR_ROUTER_PROTO */
export function bindEntities(
  proto: ProtoSchema,
  { entities }: GrpcConfig,
  names: GrpcNames,
): ReadonlyMap<string, EntityBinding> {
  const bound = new Map<string, EntityBinding>();
  for (const each of entities) {
    if (bound.has(each.type)) throw wrong(`entities: "${each.type}" is there twice`);
    bound.set(each.type, bind(proto, each, names));
  }
  return bound;
}

function bind(
  proto: ProtoSchema,
  { type, key, method: pattern, arguments: given, result: place }: GrpcConfig['entities'][number],
  names: GrpcNames,
): EntityBinding {
  const found = proto.methods.filter((each) => isMeant(each, pattern));
  const [method] = found;
  if (method === undefined || found.length > 1) {
    const count = found.length === 0 ? 'no method' : `${found.length} methods`;
    throw wrong(`entities: "${pattern}" is ${count}, one is expected`);
  }
  if (method.isClientStream || method.isServerStream) {
    throw wrong(`entities: "${method.path}" streams, a method with one answer is expected`);
  }
  const [input, output] = [method.input, method.output].map((name) => proto.messages.get(name));
  const keys = key.split(/\s+/).filter((word) => word !== '');
  const argumentsOfKeys = keys.map((name) => {
    const argument = given[name] ?? name;
    return fieldOf(input, argument, `entities: "${method.path}" takes no "${argument}"`);
  });
  const isBatch = argumentsOfKeys.some(({ isRepeated }) => isRepeated);
  if (isBatch && keys.length > 1) {
    throw wrong(`entities: "${method.path}" takes lists, which goes with one field as key`);
  }
  const at =
    place === undefined
      ? undefined
      : fieldOf(output, place, `entities: "${method.path}" answers no "${place}"`);
  if (isBatch && at?.isRepeated !== true) {
    throw wrong(`entities: "${method.path}" takes a list, "result" must name one of its answer`);
  }
  const typeMessage = at === undefined ? output : proto.messages.get(at.typeName);
  if (typeMessage === undefined || names.plainOf(typeMessage) !== undefined) {
    throw wrong(`entities: "${method.path}" answers no message that could be "${type}"`);
  }
  const name = names.output(typeMessage.name);
  if (name !== type) throw wrong(`entities: "${method.path}" answers "${name}", not "${type}"`);
  for (const each of keys) fieldOf(typeMessage, each, `entities: "${type}" has no field "${each}"`);
  return {
    ...{ type, typeMessage, keys, method, isBatch, result: place },
    argumentOf: new Map(keys.map((each, i) => [each, argumentsOfKeys[i]?.jsonName ?? each])),
  };
}

function fieldOf(message: ProtoMessage | undefined, name: string, otherwise: string): ProtoField {
  const field = message?.fields.find(({ jsonName }) => jsonName === name);
  if (field === undefined) throw wrong(otherwise);
  return field;
}
