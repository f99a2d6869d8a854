import { CountersignError, messageOf } from '@countersign/base';
import descriptor from 'protobufjs/ext/descriptor/index.js';

/** What protobuf files say, as tables: nothing of it is ever run as code. */
export interface ProtoSchema {
  readonly messages: ReadonlyMap<string, ProtoMessage>;
  readonly enums: ReadonlyMap<string, ProtoEnum>;
  readonly methods: readonly ProtoMethod[];
}

export interface ProtoMessage {
  readonly name: string;
  readonly fields: readonly ProtoField[];
  readonly byNumber: ReadonlyMap<number, ProtoField>;
}

export interface ProtoField {
  readonly name: string;
  /** In lower camel case. */
  readonly jsonName: string;
  readonly number: number;
  readonly kind: ProtoKind;
  /** Of a message or an enum: its full name. */
  readonly typeName: string;
  readonly isRepeated: boolean;
  readonly isPacked: boolean;
  /** Proto2's. */
  readonly isRequired: boolean;
  /** Whether it can be told from its default that it was not set. */
  readonly hasPresence: boolean;
  /** Name of the `oneof` that it is one of. */
  readonly oneof: string | undefined;
}

export interface ProtoEnum {
  readonly name: string;
  readonly byNumber: ReadonlyMap<number, string>;
  readonly byName: ReadonlyMap<string, number>;
}

export interface ProtoMethod {
  /** `package.Service/Method` */
  readonly path: string;
  readonly service: string;
  readonly name: string;
  readonly input: string;
  readonly output: string;
  readonly isClientStream: boolean;
  readonly isServerStream: boolean;
  /** It says of itself that it has no side effects. */
  readonly isSafe: boolean;
}

export type ProtoKind = (typeof kinds)[number];

/** By the numbers of FieldDescriptorProto.Type, from 1. */
const kinds = [
  ...(['double', 'float', 'int64', 'uint64', 'int32', 'fixed64', 'fixed32', 'bool'] as const),
  ...(['string', 'group', 'message', 'bytes', 'uint32', 'enum', 'sfixed32', 'sfixed64'] as const),
  ...(['sint32', 'sint64'] as const),
] as const;

/** Longest set of descriptors that is read, in bytes. */
export const maxDescriptorBytes = 16 * 1024 * 1024;
const maxTypes = 10_000;
const maxNesting = 32;
/** Names with two underscores before them are GraphQL's own, and one would be every object's prototype. */
const identifier = /^(?!__)[A-Za-z_][A-Za-z0-9_]{0,255}$/;

/**
 * Reads a `FileDescriptorSet`, as `protoc --include_imports --descriptor_set_out` and `buf build` write it.
 *
 * @param from where it was read, for messages
 * @throws CountersignError ERR_ROUTER_PROTO
 */
export function readDescriptorSet(bytes: Uint8Array, from: string): ProtoSchema {
  if (bytes.length > maxDescriptorBytes) {
    throw wrong(`${from}: ${bytes.length} bytes, at most ${maxDescriptorBytes} are read`);
  }
  const set = decodeSet(bytes, from);
  const found: Found = { messages: new Map(), enums: new Map(), methods: [], from };
  for (const file of set.file ?? []) {
    const scope = file.package ?? '';
    const syntax = syntaxOf(file, from);
    for (const each of file.enumType ?? []) addEnum(found, scope, each);
    for (const each of file.messageType ?? []) addMessage(found, scope, each, syntax, 0);
    for (const each of file.service ?? []) addMethods(found, scope, each);
  }
  return resolved(found);
}

interface Found {
  readonly messages: Map<string, ProtoMessage>;
  readonly enums: Map<string, ProtoEnum>;
  readonly methods: ProtoMethod[];
  readonly from: string;
}

type Many<T> = readonly T[] | undefined;

/** What is read of `google/protobuf/descriptor.proto`. */
interface FileProto {
  readonly package?: string;
  readonly syntax?: string;
  readonly options?: WithFeatures | null;
  readonly messageType?: Many<MessageProto>;
  readonly enumType?: Many<EnumProto>;
  readonly service?: Many<ServiceProto>;
}

interface MessageProto {
  readonly name?: string;
  readonly field?: Many<FieldProto>;
  readonly oneofDecl?: Many<{ readonly name?: string }>;
  readonly nestedType?: Many<MessageProto>;
  readonly enumType?: Many<EnumProto>;
}

interface FieldProto {
  readonly name?: string;
  readonly number?: number;
  readonly label?: number;
  readonly type?: number;
  readonly typeName?: string;
  readonly oneofIndex?: number;
  readonly jsonName?: string;
  readonly proto3Optional?: boolean;
  readonly options?: WithFeatures | null;
}

interface EnumProto {
  readonly name?: string;
  readonly value?: Many<{ readonly name?: string; readonly number?: number }>;
}

interface ServiceProto {
  readonly name?: string;
  readonly method?: Many<{
    readonly name?: string;
    readonly inputType?: string;
    readonly outputType?: string;
    readonly clientStreaming?: boolean;
    readonly serverStreaming?: boolean;
    readonly options?: { readonly idempotencyLevel?: number } | null;
  }>;
}

interface WithFeatures {
  readonly features?: { readonly fieldPresence?: number; readonly messageEncoding?: number } | null;
}

/** How the fields of a file are meant, its edition considered. */
interface Syntax {
  readonly name: string;
  readonly features: WithFeatures['features'];
}

function decodeSet(bytes: Uint8Array, from: string): { readonly file?: Many<FileProto> } {
  try {
    return descriptor.FileDescriptorSet.decode(bytes) as { file?: Many<FileProto> };
  } catch (thrown) {
    throw wrong(`${from}: is no FileDescriptorSet: ${messageOf(thrown)}`, thrown);
  }
}

const syntaxes = new Set(['proto2', 'proto3', 'editions']);

function syntaxOf({ syntax, options }: FileProto, from: string): Syntax {
  const name = syntax === undefined || syntax === '' ? 'proto2' : syntax;
  if (syntaxes.has(name)) return { name, features: options?.features };
  throw wrong(`${from}: syntax "${name}", "proto2", "proto3" or "editions" is expected`);
}

function addEnum(found: Found, scope: string, each: EnumProto): void {
  const name = named(found, scope, each.name);
  const byNumber = new Map<number, string>();
  const byName = new Map<string, number>();
  for (const { name: word, number = 0 } of each.value ?? []) {
    const value = checked(found, word);
    byName.set(value, number);
    if (!byNumber.has(number)) byNumber.set(number, value);
  }
  found.enums.set(name, { name, byNumber, byName });
}

function addMessage(
  found: Found,
  scope: string,
  each: MessageProto,
  syntax: Syntax,
  depth: number,
): void {
  if (depth > maxNesting) throw wrong(`${found.from}: messages nested deeper than ${maxNesting}`);
  const name = named(found, scope, each.name);
  const oneofs = (each.oneofDecl ?? []).map((one) => checked(found, one.name));
  const fields = (each.field ?? []).map((field) => fieldOf(found, name, field, oneofs, syntax));
  const byNumber = new Map(fields.map((field) => [field.number, field]));
  found.messages.set(name, { name, fields, byNumber });
  for (const inner of each.enumType ?? []) addEnum(found, name, inner);
  for (const inner of each.nestedType ?? []) addMessage(found, name, inner, syntax, depth + 1);
}

/** Of `FieldDescriptorProto.Label` and of the two features that matter here. */
const [required, repeated, implicit, delimited] = [2, 3, 2, 2] as const;

function fieldOf(
  found: Found,
  message: string,
  field: FieldProto,
  oneofs: readonly string[],
  syntax: Syntax,
): ProtoField {
  const name = checked(found, field.name);
  const kind = kinds[(field.type ?? 0) - 1];
  const encoding =
    field.options?.features?.messageEncoding ?? syntax.features?.messageEncoding ?? 0;
  if (kind === undefined || kind === 'group' || (kind === 'message' && encoding === delimited)) {
    throw wrong(`${found.from}: "${message}.${name}" is a group, which is not supported`);
  }
  const isRepeated = field.label === repeated;
  const isMember = Object.hasOwn(field, 'oneofIndex') && field.proto3Optional !== true;
  const presence = field.options?.features?.fieldPresence ?? syntax.features?.fieldPresence ?? 0;
  const isImplicit =
    (syntax.name === 'proto3' && field.proto3Optional !== true) || presence === implicit;
  const isScalar = kind !== 'message' && !isMember;
  return {
    ...{ name, number: field.number ?? 0, kind, isRepeated },
    jsonName: identifier.test(field.jsonName ?? '') ? String(field.jsonName) : camelCased(name),
    typeName: field.typeName ?? '',
    // Readers take both ways; this one is written by most.
    isPacked: isRepeated && syntax.name !== 'proto2',
    isRequired: field.label === required,
    hasPresence: !isRepeated && !(isImplicit && isScalar),
    oneof: isMember ? oneofs[field.oneofIndex ?? 0] : undefined,
  };
}

const noSideEffects = 1;

function addMethods(found: Found, scope: string, each: ServiceProto): void {
  const service = named(found, scope, each.name);
  for (const method of each.method ?? []) {
    const name = checked(found, method.name);
    found.methods.push({
      ...{ path: `${service}/${name}`, service, name },
      input: method.inputType ?? '',
      output: method.outputType ?? '',
      isClientStream: method.clientStreaming === true,
      isServerStream: method.serverStreaming === true,
      isSafe: method.options?.idempotencyLevel === noSideEffects,
    });
  }
}

/** References by full name; a file that is missing in the set is found out here rather than by a caller. */
function resolved({ messages, enums, methods, from }: Found): ProtoSchema {
  const find = (scope: string, written: string, known: ReadonlyMap<string, unknown>) => {
    const found = candidates(scope, written).find((name) => known.has(name));
    if (found !== undefined) return found;
    throw wrong(`${from}: "${scope}" uses "${written}", which the set does not have`);
  };
  const linked = [...messages.values()].map(({ name, fields }): ProtoMessage => {
    const all = fields.map((field) => {
      const known = field.kind === 'message' ? messages : enums;
      if (field.kind !== 'message' && field.kind !== 'enum') return field;
      return { ...field, typeName: find(name, field.typeName, known) };
    });
    return { name, fields: all, byNumber: new Map(all.map((each) => [each.number, each])) };
  });
  return {
    messages: new Map(linked.map((each) => [each.name, each])),
    enums,
    methods: methods.map((each) => ({
      ...each,
      input: find(each.service, each.input, messages),
      output: find(each.service, each.output, messages),
    })),
  };
}

/** `FieldDescriptorProto.type_name`: whole behind a dot, else looked for from the innermost scope outwards. */
function candidates(scope: string, written: string): string[] {
  if (written.startsWith('.')) return [written.slice(1)];
  const parts = scope.split('.');
  return [...parts.keys(), parts.length]
    .reverse()
    .map((length) => [...parts.slice(0, length), written].join('.'));
}

function named(found: Found, scope: string, name: string | undefined): string {
  if (found.messages.size + found.enums.size >= maxTypes) {
    throw wrong(`${found.from}: more than ${maxTypes} types`);
  }
  for (const part of scope.split('.')) if (part !== '') checked(found, part);
  const own = checked(found, name);
  return scope === '' ? own : `${scope}.${own}`;
}

function checked({ from }: Found, name: string | undefined): string {
  if (name !== undefined && identifier.test(name)) return name;
  throw wrong(`${from}: "${String(name).slice(0, 64)}" is no name of protobuf`);
}

function camelCased(name: string): string {
  return name.replace(/_+([a-zA-Z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function wrong(message: string, cause?: unknown): CountersignError {
  return new CountersignError('ERR_ROUTER_PROTO', message, { cause });
}
