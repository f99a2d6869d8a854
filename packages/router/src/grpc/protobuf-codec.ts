import { CountersignError } from '@countersign/base';
import protobuf from 'protobufjs';
import type { ProtoField, ProtoKind, ProtoMessage, ProtoSchema } from './proto-schema.ts';
import { isEmptyMessage, Prepared, type Values, wellKnownType } from './well-known-types.ts';

/** As in protoc's own readers. */
const maxDepth = 100;
/** Of one answer: fields that nothing was sent of are there, too, so that two bytes may become many. */
const maxValues = 10_000_000;

/**
 * Messages as GraphQL has their values, and back: fields by their JSON names, 64-bit integers as strings, enums by name,
 * bytes as base64, maps as lists of entries, well-known types as plain values. Table-driven: what a schema says is
 * never run.
 */
export class ProtobufCodec {
  readonly #schema: ProtoSchema;
  readonly #defaults = new Map<string, () => Values>();
  /** Of the message that is being read. */
  #values = 0;

  constructor(schema: ProtoSchema) {
    this.#schema = schema;
  }

  /** @throws CountersignError ERR_SUBGRAPH_RESPONSE where the bytes are no such message */
  decode(typeName: string, bytes: Uint8Array): unknown {
    this.#values = 0;
    try {
      return this.#read(this.#message(typeName), protobuf.Reader.create(bytes), bytes.length, 0);
    } catch (thrown) {
      const detail = thrown instanceof Error ? thrown.message : String(thrown);
      throw new CountersignError(
        'ERR_SUBGRAPH_RESPONSE',
        `answered with bytes that are no "${typeName}": ${detail}`,
        { cause: thrown },
      );
    }
  }

  /**
   * @param value as GraphQL's arguments and input objects have it
   * @throws TypeError saying where and what is expected
   */
  encode(typeName: string, value: unknown): Uint8Array {
    const writer = protobuf.Writer.create();
    this.#write(this.#message(typeName), value, writer, 0);
    return writer.finish();
  }

  #message(typeName: string): ProtoMessage {
    const message = this.#schema.messages.get(typeName);
    if (message === undefined) throw new TypeError(`message "${typeName}" of a schema`);
    return message;
  }

  #read(message: ProtoMessage, reader: protobuf.Reader, end: number, depth: number): unknown {
    if (depth > maxDepth) throw new TypeError(`nested deeper than ${maxDepth}`);
    this.#count(1 + message.fields.length);
    const values = this.#emptyOf(message);
    while (reader.pos < end) {
      const tag = reader.uint32();
      const field = message.byNumber.get(tag >>> 3);
      if (field === undefined) reader.skipType(tag & 7);
      else this.#readField(message, field, tag & 7, reader, values, depth);
    }
    if (reader.pos !== end) throw new TypeError('a field beyond the end of its message');
    const known = wellKnownType(message.name);
    if (known !== undefined) return known.toGraphql(values);
    return isEmptyMessage(message) ? true : values;
  }

  #count(values: number): void {
    this.#values += values;
    if (this.#values > maxValues) throw new TypeError(`more than ${maxValues} values`);
  }

  #readField(
    message: ProtoMessage,
    field: ProtoField,
    wireType: number,
    reader: protobuf.Reader,
    values: Values,
    depth: number,
  ): void {
    const { jsonName, kind, isRepeated } = field;
    if (isRepeated && wireType === 2 && isPackable(kind)) {
      const end = reader.uint32() + reader.pos;
      if (end > reader.len) throw new TypeError(`"${field.name}" is cut off`);
      const list = values[jsonName] as unknown[];
      while (reader.pos < end) {
        this.#count(1);
        list.push(this.#readScalar(field, reader));
      }
      return;
    }
    if (wireType !== wireTypes[kind]) {
      reader.skipType(wireType);
      return;
    }
    const read =
      kind === 'message'
        ? this.#readMessage(field, reader, depth)
        : this.#readScalar(field, reader);
    if (isRepeated) (values[jsonName] as unknown[]).push(read);
    else values[jsonName] = read;
    if (field.oneof === undefined) return;
    // The last one that was set of a oneof is the one that is (Protocol Buffers encoding, "oneof").
    for (const other of message.fields) {
      if (other.oneof === field.oneof && other !== field) values[other.jsonName] = null;
    }
  }

  #readMessage({ typeName, name }: ProtoField, reader: protobuf.Reader, depth: number): unknown {
    const end = reader.uint32() + reader.pos;
    if (end > reader.len) throw new TypeError(`"${name}" is cut off`);
    return this.#read(this.#message(typeName), reader, end, depth + 1);
  }

  #readScalar({ kind, typeName }: ProtoField, reader: protobuf.Reader): unknown {
    if (kind === 'enum') {
      const number = reader.int32();
      // An open enum may have values that this schema does not know; GraphQL has no name for them.
      return this.#schema.enums.get(typeName)?.byNumber.get(number) ?? null;
    }
    if (kind === 'bytes') return Buffer.from(reader.bytes()).toString('base64');
    if (kind === 'message' || kind === 'group') throw new TypeError('a message among scalars');
    const value: unknown = reader[kind]();
    if (typeof value === 'number' && !Number.isFinite(value)) return null;
    if (kind === 'float') return shortest(value as number);
    return longKinds.has(kind) ? String(value) : value;
  }

  /** Every field as it is where nothing was sent of it. */
  #emptyOf(message: ProtoMessage): Values {
    let make = this.#defaults.get(message.name);
    if (make === undefined) {
      const pairs = message.fields.map((field) => [field, this.#defaultOf(field)] as const);
      make = () => {
        const values: Values = {};
        for (const [{ jsonName, isRepeated }, value] of pairs) {
          values[jsonName] = isRepeated ? [] : value;
        }
        return values;
      };
      this.#defaults.set(message.name, make);
    }
    return make();
  }

  #defaultOf({ kind, hasPresence, typeName }: ProtoField): unknown {
    if (hasPresence) return null;
    if (kind === 'string' || kind === 'bytes') return '';
    if (kind === 'bool') return false;
    if (kind === 'enum') return this.#schema.enums.get(typeName)?.byNumber.get(0) ?? null;
    return longKinds.has(kind) ? '0' : 0;
  }

  #write(message: ProtoMessage, value: unknown, writer: protobuf.Writer, depth: number): void {
    if (depth > maxDepth) throw new TypeError(`nested deeper than ${maxDepth}`);
    const values = this.#fieldsOf(message, value);
    const oneofs = new Map<string, string>();
    for (const field of message.fields) {
      const given = values[field.jsonName];
      if (given === undefined || given === null) continue;
      const { oneof, jsonName } = field;
      const other = oneof === undefined ? undefined : oneofs.get(oneof);
      if (other !== undefined)
        throw new TypeError(`"${other}" and "${jsonName}" exclude each other`);
      if (oneof !== undefined) oneofs.set(oneof, jsonName);
      try {
        this.#writeField(field, given, writer, depth);
      } catch (thrown) {
        if (!(thrown instanceof TypeError)) throw thrown;
        throw new TypeError(`"${jsonName}": ${thrown.message}`);
      }
    }
  }

  #fieldsOf(message: ProtoMessage, value: unknown): Values {
    if (value instanceof Prepared) return value.fields;
    const known = wellKnownType(message.name);
    if (known !== undefined) return known.fromGraphql(value);
    if (isEmptyMessage(message)) return {};
    if (typeof value !== 'object' || value === null) throw new TypeError('expected an object');
    return value as Values;
  }

  #writeField(field: ProtoField, given: unknown, writer: protobuf.Writer, depth: number): void {
    const { number, kind, isRepeated, isPacked, hasPresence } = field;
    const each = isRepeated ? (given as readonly unknown[]) : [given];
    if (isRepeated && !Array.isArray(given)) throw new TypeError('expected a list');
    if (isPacked && isPackable(kind)) {
      if (each.length === 0) return;
      writer.uint32((number << 3) | 2).fork();
      for (const item of each) this.#writeScalar(field, item, writer);
      writer.ldelim();
      return;
    }
    for (const item of each) {
      if (kind === 'message') {
        writer.uint32((number << 3) | 2).fork();
        this.#write(this.#message(field.typeName), item, writer, depth + 1);
        writer.ldelim();
      } else if (isRepeated || hasPresence || !isDefault(item)) {
        writer.uint32((number << 3) | wireTypes[kind]);
        this.#writeScalar(field, item, writer);
      }
    }
  }

  #writeScalar({ kind, typeName }: ProtoField, value: unknown, writer: protobuf.Writer): void {
    if (kind === 'enum') {
      const number = this.#schema.enums.get(typeName)?.byName.get(String(value));
      if (number === undefined) throw new TypeError(`expected a value of "${typeName}"`);
      writer.int32(number);
    } else if (kind === 'bytes') writer.bytes(bytesOf(value));
    else if (kind === 'string') writer.string(stringOf(value));
    else if (kind === 'bool') writer.bool(value === true);
    else if (longKinds.has(kind)) writer[kind as 'int64'](longOf(kind, value));
    else writer[kind as 'double'](numberOf(kind, value));
  }
}

/** Protocol Buffers encoding, "message structure". */
const wireTypes: Readonly<Record<ProtoKind, number>> = {
  ...{ int32: 0, int64: 0, uint32: 0, uint64: 0, sint32: 0, sint64: 0, bool: 0, enum: 0 },
  ...{ fixed64: 1, sfixed64: 1, double: 1 },
  ...{ string: 2, bytes: 2, message: 2 },
  ...{ group: 3 },
  ...{ fixed32: 5, sfixed32: 5, float: 5 },
};

const longKinds: ReadonlySet<ProtoKind> = new Set([
  ...(['int64', 'uint64', 'sint64', 'fixed64', 'sfixed64'] as const),
]);

/** Least and most of the integers. */
const ranges: Readonly<Partial<Record<ProtoKind, readonly [bigint, bigint]>>> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  sint32: [-(2n ** 31n), 2n ** 31n - 1n],
  sfixed32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  fixed32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  sint64: [-(2n ** 63n), 2n ** 63n - 1n],
  sfixed64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
  fixed64: [0n, 2n ** 64n - 1n],
};

/** The shortest decimal that is this single-precision number: 0.1, not the double nearest to it. */
function shortest(value: number): number {
  for (let digits = 6; digits < 9; digits += 1) {
    const decimal = Number(value.toPrecision(digits));
    if (Math.fround(decimal) === value) return decimal;
  }
  return value;
}

function isPackable(kind: ProtoKind): boolean {
  return wireTypes[kind] !== 2 && kind !== 'group';
}

function isDefault(value: unknown): boolean {
  return value === '' || value === 0 || value === false;
}

/** As protobufjs takes it without losing a bit. */
function longOf(kind: ProtoKind, value: unknown): protobuf.Long {
  const bits = BigInt.asUintN(64, integerOf(kind, value));
  const [low, high] = [Number(bits & 0xffffffffn), Number(bits >> 32n)];
  return { low, high, unsigned: true } as protobuf.Long;
}

function numberOf(kind: ProtoKind, value: unknown): number {
  if (kind in ranges) return Number(integerOf(kind, value));
  if (typeof value === 'number') return value;
  throw new TypeError('expected a number');
}

function integerOf(kind: ProtoKind, value: unknown): bigint {
  const [least, most] = ranges[kind] ?? [0n, 0n];
  const isInteger =
    (typeof value === 'string' && /^-?\d{1,20}$/.test(value)) || Number.isSafeInteger(value);
  const whole = isInteger ? BigInt(value as string | number) : undefined;
  if (whole !== undefined && whole >= least && whole <= most) return whole;
  throw new TypeError(`expected an integer from ${least} to ${most}`);
}

function stringOf(value: unknown): string {
  // A key of an entity is an ID, which may be written as a number.
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  throw new TypeError('expected a text');
}

function bytesOf(value: unknown): Uint8Array {
  const isBase64 = typeof value === 'string' && /^[A-Za-z0-9+/_-]*={0,2}$/.test(value);
  if (isBase64) return Buffer.from(value, 'base64');
  throw new TypeError('expected base64');
}
