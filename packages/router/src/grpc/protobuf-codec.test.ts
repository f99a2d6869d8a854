import assert from 'node:assert/strict';
import { test } from 'node:test';
import protobuf from 'protobufjs';
import { descriptorSetOf, imports } from './descriptor-set.suite.ts';
import { readDescriptorSet } from './proto-schema.ts';
import { ProtobufCodec } from './protobuf-codec.ts';

const proto = `
syntax = "proto3";
package all.v1;
${imports('timestamp', 'duration', 'wrappers', 'struct', 'field_mask', 'empty')}

enum Colour { COLOUR_UNSPECIFIED = 0; RED = 1; GREEN = 2; }
message Everything {
  double a_double = 1; float a_float = 2; int64 an_int64 = 3; uint64 a_uint64 = 4;
  int32 an_int32 = 5; fixed64 a_fixed64 = 6; fixed32 a_fixed32 = 7; bool a_bool = 8;
  string a_string = 9; bytes some_bytes = 10; uint32 a_uint32 = 11; Colour colour = 12;
  sfixed32 an_sfixed32 = 13; sfixed64 an_sfixed64 = 14; sint32 an_sint32 = 15; sint64 an_sint64 = 16;
  repeated int32 numbers = 17; repeated string words = 18; repeated Colour colours = 19;
  map<string, int64> counts = 20; map<int32, Everything> below = 21;
  oneof choice { string left = 22; int32 right = 23; Everything inner = 24; }
  optional string maybe = 25;
  google.protobuf.Timestamp at = 26; google.protobuf.Duration took = 27;
  google.protobuf.StringValue wrapped = 28; google.protobuf.Int64Value wrapped_long = 29;
  google.protobuf.Struct details = 30; google.protobuf.Value value = 31;
  google.protobuf.FieldMask mask = 32; google.protobuf.Empty nothing = 33;
  repeated int64 longs = 34;
}
`;

const codec = new ProtobufCodec(readDescriptorSet(descriptorSetOf({ 'all.proto': proto }), 'set'));
const name = 'all.v1.Everything';

const full = {
  ...{
    aDouble: 1.5,
    aFloat: 0.1,
    anInt64: '-9223372036854775808',
    aUint64: '18446744073709551615',
  },
  ...{ anInt32: -2147483648, aFixed64: '1', aFixed32: 4294967295, aBool: true },
  ...{ aString: 'naïve', someBytes: 'AAH/', aUint32: 4294967295, colour: 'GREEN' },
  ...{ anSfixed32: -1, anSfixed64: '-1', anSint32: -5, anSint64: '-6' },
  ...{ numbers: [1, -2, 3], words: ['a', ''], colours: ['RED', 'COLOUR_UNSPECIFIED'] },
  ...{ counts: [{ key: 'one', value: '1' }], below: [], left: null, right: 7, inner: null },
  ...{ maybe: '', at: '2030-01-31T12:00:00.500Z', took: '-1.500s' },
  ...{ wrapped: 'text', wrappedLong: '9007199254740993' },
  details: { list: [1, 'two', null, { three: true }], nothing: null },
  ...{ value: 'plain', mask: 'firstName,address.zipCode', nothing: true, longs: ['1', '-1'] },
};

test('every kind of field goes out and comes back as GraphQL has it', () => {
  const bytes = codec.encode(name, full);
  assert.deepEqual(plain(codec.decode(name, bytes)), full);
});

test('what protobufjs writes of the same message is read alike, and the other way round', () => {
  const type = protobuf.parse(proto, { keepCase: false }).root;
  for (const file of ['timestamp', 'duration', 'wrappers', 'struct', 'field_mask', 'empty']) {
    const common = protobuf.common.get(`google/protobuf/${file}.proto`);
    if (common !== null) type.addJSON(common.nested ?? {});
  }
  const theirs = type.lookupType(name);
  const message = { anInt64: '42', numbers: [5, 6], counts: { x: '7' }, colour: 2, right: 3 };
  const bytes = theirs.encode(theirs.fromObject(message)).finish();
  const read = codec.decode(name, bytes) as typeof full;
  assert.equal(read.anInt64, '42');
  assert.deepEqual(read.numbers, [5, 6]);
  assert.deepEqual(read.counts, [{ key: 'x', value: '7' }]);
  assert.equal(read.colour, 'GREEN');
  assert.equal(read.right, 3);
  const ours = theirs.toObject(
    theirs.decode(codec.encode(name, { aUint64: '18446744073709551615', longs: ['3'] })),
    {
      longs: String,
    },
  );
  assert.deepEqual(ours, { aUint64: '18446744073709551615', longs: ['3'] });
});

test('what was not sent is the default, or null where that can be told', () => {
  const read = codec.decode(name, new Uint8Array()) as Record<string, unknown>;
  assert.equal(read.aString, '');
  assert.equal(read.anInt64, '0');
  assert.equal(read.colour, 'COLOUR_UNSPECIFIED');
  assert.deepEqual(read.words, []);
  for (const key of ['maybe', 'right', 'at', 'wrapped', 'details', 'inner']) {
    assert.equal(read[key], null, key);
  }
});

test('each number that is none is null by itself', () => {
  const numbers = { aDouble: Number.NaN, aFloat: Number.POSITIVE_INFINITY };
  const { aDouble, aFloat } = codec.decode(name, codec.encode(name, numbers)) as typeof numbers;
  assert.deepEqual([aDouble, aFloat], [null, null]);
});

test('fields that the schema does not know are skipped, and an unknown enum value has no name', () => {
  const writer = protobuf.Writer.create()
    .uint32(12 << 3)
    .int32(99);
  writer
    .uint32((900 << 3) | 2)
    .string('later')
    .uint32((9 << 3) | 2)
    .string('known');
  const read = codec.decode(name, writer.finish()) as Record<string, unknown>;
  assert.equal(read.colour, null);
  assert.equal(read.aString, 'known');
});

const refused: readonly (readonly [object, RegExp])[] = [
  [{ anInt32: 2147483648 }, /"anInt32": expected an integer from -2147483648 to 2147483647/],
  [{ aUint64: '-1' }, /"aUint64": expected an integer from 0/],
  [{ anInt64: 'one' }, /"anInt64": expected an integer/],
  [{ left: 'a', right: 1 }, /"left" and "right" exclude each other/],
  [{ at: 'tomorrow' }, /"at": expected a time/],
  [{ took: '5' }, /"took": expected a duration/],
  [{ colour: 'BLUE' }, /"colour": expected a value of "all.v1.Colour"/],
  [{ someBytes: '!' }, /"someBytes": expected base64/],
  [{ inner: { words: 'a' } }, /"inner": "words": expected a list/],
];
for (const [value, message] of refused) {
  test(`refused: ${JSON.stringify(value)}`, () => {
    assert.throws(() => codec.encode(name, value), message);
  });
}

test('bytes that are cut, nested without end or not of this message end in a typed error', () => {
  const bytes = codec.encode(name, full);
  for (let end = 1; end < bytes.length; end += 1) {
    try {
      codec.decode(name, bytes.subarray(0, end));
    } catch (thrown) {
      assert.equal((thrown as { code?: string }).code, 'ERR_SUBGRAPH_RESPONSE');
    }
  }
  let deep: Uint8Array = new Uint8Array();
  for (let i = 0; i < 200; i += 1) {
    deep = protobuf.Writer.create()
      .uint32((24 << 3) | 2)
      .bytes(deep)
      .finish();
  }
  assert.throws(() => codec.decode(name, deep), { code: 'ERR_SUBGRAPH_RESPONSE' });
});

test('bytes that would become very many values are refused', () => {
  const numbers = protobuf.Writer.create()
    .uint32((17 << 3) | 2)
    .bytes(new Uint8Array(11_000_000))
    .finish();
  assert.throws(() => codec.decode(name, numbers), /more than 10000000 values/);
});

test('a set with a missing import, a group or a hostile name is refused by name', () => {
  const broken = (files: Record<string, string>, change?: (set: Buffer) => Buffer) => {
    const bytes = descriptorSetOf(files);
    return () =>
      readDescriptorSet(change === undefined ? bytes : change(Buffer.from(bytes)), 'set');
  };
  assert.throws(() => readDescriptorSet(new Uint8Array([1, 2, 3]), 'set'), /no FileDescriptorSet/);
  const hostile = { 'a.proto': 'syntax = "proto3"; message Abcdef { string xyz = 1; }' };
  const renamed = (set: Buffer) =>
    Buffer.from(set.toString('latin1').replace('Abcdef', 'A;b()/'), 'latin1');
  assert.throws(broken(hostile, renamed), { code: 'ERR_ROUTER_PROTO' });
});

/** Objects without a prototype are equal to those with one only in their content. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
