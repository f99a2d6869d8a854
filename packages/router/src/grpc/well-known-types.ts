import type { ProtoMessage } from './proto-schema.ts';

/** What the mapping of a well-known type reads and writes: its message's fields by their JSON names. */
export type Values = Record<string, unknown>;

/** A message that stands for a plain value in GraphQL (Protocol Buffers, "ProtoJSON format"). */
export interface WellKnownType {
  /** Of GraphQL. */
  readonly scalar: string;
  toGraphql(message: Values): unknown;
  /** @throws TypeError saying what is expected */
  fromGraphql(value: unknown): Values;
}

/** The one of this name, if it is one. */
export function wellKnownType(name: string): WellKnownType | undefined {
  return wellKnown.get(name);
}

/** Messages without a field have no type in GraphQL: they are `true`. */
export function isEmptyMessage({ fields }: ProtoMessage): boolean {
  return fields.length === 0;
}

const wrapped = (scalar: string): WellKnownType => ({
  scalar,
  toGraphql: ({ value }) => value,
  fromGraphql: (value) => ({ value }),
});

const wellKnown: ReadonlyMap<string, WellKnownType> = new Map(
  Object.entries({
    Timestamp: { scalar: 'DateTime', toGraphql: timestampText, fromGraphql: timestampOf },
    Duration: { scalar: 'Duration', toGraphql: durationText, fromGraphql: durationOf },
    FieldMask: {
      scalar: 'String',
      toGraphql: ({ paths }: Values) => (paths as string[]).map(camelPath).join(','),
      fromGraphql: (value: unknown) => ({
        paths: textOf(value, 'paths, separated by commas').split(',').map(snakePath),
      }),
    },
    Struct: {
      scalar: 'JSON',
      toGraphql: ({ fields }: Values) => objectOf(fields as Entry[]),
      fromGraphql: (value: unknown) => structMessage(value),
    },
    Value: { scalar: 'JSON', toGraphql: jsonOf, fromGraphql: (value: unknown) => jsonValue(value) },
    ListValue: {
      scalar: 'JSON',
      toGraphql: ({ values }: Values) => (values as unknown[]).map(plainOf),
      fromGraphql: (value: unknown) => listOf(value),
    },
    Any: {
      scalar: 'JSON',
      toGraphql: ({ typeUrl, value }: Values) => ({ '@type': typeUrl, value }),
      fromGraphql: anyOf,
    },
    DoubleValue: wrapped('Float'),
    FloatValue: wrapped('Float'),
    Int64Value: wrapped('BigInt'),
    UInt64Value: wrapped('BigInt'),
    Int32Value: wrapped('Int'),
    UInt32Value: wrapped('UInt32'),
    BoolValue: wrapped('Boolean'),
    StringValue: wrapped('String'),
    BytesValue: wrapped('Bytes'),
  } satisfies Record<string, WellKnownType>).map(([name, type]) => [
    `google.protobuf.${name}`,
    type,
  ]),
);

interface Entry {
  readonly key: string;
  readonly value: unknown;
}

const maxJsonDepth = 64;

function timestampText({ seconds, nanos }: Values): string {
  const text = new Date(Number(seconds ?? 0) * 1000).toISOString();
  return text.replace('.000Z', `${fraction(Number(nanos ?? 0))}Z`);
}

// RFC 3339 §5.6
const timestampPattern =
  /^(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|[+-]\d\d:\d\d)$/;

function timestampOf(value: unknown): Values {
  const text = textOf(value, 'a time such as 2030-01-31T12:00:00Z');
  const [, , digits = ''] = timestampPattern.exec(text) ?? [];
  const at = timestampPattern.test(text) ? Date.parse(text.replace(/\.\d+/, '')) : Number.NaN;
  if (Number.isNaN(at)) throw new TypeError(`expected a time such as 2030-01-31T12:00:00Z`);
  return { seconds: String(at / 1000), nanos: Number(digits.padEnd(9, '0')) };
}

function durationText({ seconds, nanos }: Values): string {
  const [whole, rest] = [BigInt(String(seconds ?? 0)), Number(nanos ?? 0)];
  const sign = whole < 0n || rest < 0 ? '-' : '';
  return `${sign}${whole < 0n ? -whole : whole}${fraction(Math.abs(rest))}s`;
}

function durationOf(value: unknown): Values {
  const text = textOf(value, 'a duration such as "1.5s"');
  const [, sign, whole = '', digits = ''] = /^(-?)(\d{1,12})(?:\.(\d{1,9}))?s$/.exec(text) ?? [];
  if (whole === '') throw new TypeError('expected a duration such as "1.5s"');
  const nanos = Number(digits.padEnd(9, '0'));
  return { seconds: `${sign}${whole}`, nanos: sign === '-' ? -nanos : nanos };
}

/** Three, six or nine digits, or nothing. */
function fraction(nanos: number): string {
  if (nanos === 0) return '';
  const digits = String(nanos).padStart(9, '0');
  return `.${digits.replace(/(000){1,2}$/, '')}`;
}

function camelPath(path: string): string {
  return path.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function snakePath(path: string): string {
  return path.trim().replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** A `Value` inside of a message is a plain value already. */
function plainOf(value: unknown): unknown {
  return value === undefined ? null : value;
}

function objectOf(entries: readonly Entry[] | undefined): unknown {
  const out = Object.create(null) as Values;
  for (const { key, value } of entries ?? []) out[key] = plainOf(value);
  return out;
}

function jsonOf(message: Values): unknown {
  const { numberValue, stringValue, boolValue, structValue, listValue } = message;
  return numberValue ?? stringValue ?? boolValue ?? structValue ?? listValue ?? null;
}

function structMessage(value: unknown, depth = 0): Values {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError('expected an object');
  }
  const fields = Object.entries(value).map(([key, each]) => ({
    key,
    value: new Prepared(jsonValue(each, depth + 1)),
  }));
  return { fields };
}

function listOf(value: unknown, depth = 0): Values {
  if (!Array.isArray(value)) throw new TypeError('expected a list');
  return { values: value.map((each) => new Prepared(jsonValue(each, depth + 1))) };
}

function jsonValue(value: unknown, depth = 0): Values {
  if (depth > maxJsonDepth) throw new TypeError(`nested deeper than ${maxJsonDepth}`);
  if (value === null || value === undefined) return { nullValue: 'NULL_VALUE' };
  if (typeof value === 'number') return { numberValue: value };
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (Array.isArray(value)) return { listValue: new Prepared(listOf(value, depth)) };
  return { structValue: new Prepared(structMessage(value, depth)) };
}

function anyOf(value: unknown): Values {
  const { '@type': typeUrl, value: bytes } = Object(value) as Values;
  const isAny = typeof typeUrl === 'string' && typeof bytes === 'string';
  if (!isAny) throw new TypeError('expected {"@type": URL, "value": base64}');
  return { typeUrl, value: bytes };
}

function textOf(value: unknown, expected: string): string {
  if (typeof value === 'string') return value;
  throw new TypeError(`expected ${expected}`);
}

/** The fields of a well-known type's message, which are not to be mapped once more. */
export class Prepared {
  readonly fields: Values;

  constructor(fields: Values) {
    this.fields = fields;
  }
}
