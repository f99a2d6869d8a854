import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CountersignError, noLog } from '@countersign/base';
import { buildSchema } from 'graphql';
import { parseRouterConfig } from '../config/router-config.ts';
import { HeldPlanner } from '../defer/held-planner.ts';
import { ProgressiveOverride } from '../plan/progressive-override.ts';
import { AccessRules } from './access.ts';
import { stranger } from './caller.ts';
import { judgeDocument } from './document-limits.ts';
import { PlannerAliases } from './planner-alias.ts';
import { OperationPreparer } from './prepare-operation.ts';

const { limits } = parseRouterConfig('supergraph: x', 'router.yaml', {});
const schema = buildSchema('type Query { a: Query b(x: String): [Query] c: Int }');
const overrides = { labels: [], percentages: [] };
let planned = 0;
let unwell: CountersignError | undefined;
const plan = async () => {
  planned += 1;
  if (unwell !== undefined) throw unwell;
  return undefined;
};
const planner = { publicSdl: '', plan, overrides, retire() {} };
const preparer = new OperationPreparer({
  held: new HeldPlanner('', noLog),
  aliases: new PlannerAliases(new Set()),
  ...{ schema, planner, limits, introspection: false },
  access: new AccessRules({ rules: new Map() }, schema),
  override: new ProgressiveOverride(overrides, {}, () => 0),
});

async function codesOf(query: string): Promise<readonly string[]> {
  const prepared = await preparer.prepare(query, undefined, stranger);
  return prepared.ok ? [] : prepared.errors.map(({ extensions }) => String(extensions?.code));
}

const limit = ['ERR_GRAPHQL_LIMIT'];

test('hostile documents are refused before they are parsed', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['aliases', `{ a { ${Array.from({ length: 10_000 }, (_, i) => `a${i}: c`).join(' ')} } }`],
    ['levels', `${'{ a '.repeat(1000)}${'}'.repeat(1000)}`],
    ['levels', `{ b(x: ${'['.repeat(1000)}) }`],
    ['tokens', `{ a { ${'c '.repeat(6000)} } }`],
    ['root fields', `query A { ${'c '.repeat(60)} }`],
    ['arguments', `{ b(${'x: 1 '.repeat(600)}) { c } }`],
    ['variables', `query(${Array.from({ length: 110 }, (_, i) => `$v${i}: Int`).join()}) { c }`],
    ['directives', `{ c ${'@include(if: true) '.repeat(110)} }`],
    ['deferred fragments', `{ ${'... @defer { c } '.repeat(60)} }`],
    ['characters', `{ c } #${'x'.repeat(200_000)}`],
  ];
  for (const [what, text] of cases) {
    const denied = judgeDocument(text, limits);
    assert.equal(denied?.code, 'ERR_GRAPHQL_LIMIT');
    assert.equal(denied?.fields.what, what);
  }
});

test('strings, comments and arguments are not taken for structure', () => {
  const text = `# { { { \n{ b(x: "{ a: a: a: }") { c } d: b(x: """ { " { \\""" } """) { c } }`;
  const strict = { ...limits, max_depth: 3, max_aliases: 1, max_tokens: 40 };
  assert.equal(judgeDocument(text, strict), undefined);
});

test('what stands deeper, or in fragments, is no root field', () => {
  const many = 'c '.repeat(60);
  const ten = Array.from({ length: 10 }, (_, i) => `a${i}: c`).join(' ');
  const text = `#\nfragment F on Query { ${many} } query A { ${ten} ...F ... on Query { ${many} } }
    fragment G on Query { ${many} } { ${ten} ...G @include(if: true) } query B { ${ten} }`;
  assert.equal(judgeDocument(text, { ...limits, max_root_fields: 10 }), undefined);
  assert.equal(judgeDocument(text, { ...limits, max_root_fields: 9 })?.fields.what, 'root fields');
});

test('one field with many arguments over and over again is not compared with itself', async () => {
  const same = `b(x: "1", ${Array.from({ length: 15 }, (_, i) => `y${i}: 1`)}) { c } `.repeat(20);
  assert.deepEqual(await codesOf(`{ ${same} }`), limit);
});

test('fragments that make much of little are refused without being expanded', async () => {
  const levels = Array.from(
    { length: 25 },
    (_, i) => `fragment F${i} on Query { a { ...F${i + 1} } a2: a { ...F${i + 1} } }`,
  );
  const bomb = `{ ...F0 } ${levels.join(' ')} fragment F25 on Query { c }`;
  assert.deepEqual(await codesOf(bomb), limit);
});

test('circular fragments are refused, and said to be that', async () => {
  const text = '{ ...A } fragment A on Query { a { ...B } } fragment B on Query { a { ...A } }';
  assert.deepEqual(await codesOf(text), ['ERR_GRAPHQL_DOCUMENT']);
});

test('one field over and over again, many roots and deep lists are refused', async () => {
  assert.deepEqual(await codesOf(`{ ${'c '.repeat(200)} }`), limit);
  const roots = Array.from({ length: 60 }, (_, i) => `r${i}: c`);
  assert.deepEqual(await codesOf(`{ ${roots.join(' ')} }`), limit);
  const lists = `{ ${'b { '.repeat(8)} c ${'}'.repeat(8)} }`;
  assert.deepEqual(await codesOf(lists), limit);
});

test('introspection that is switched off is refused as such', async () => {
  const codes = await codesOf('{ __schema { types { name } } }');
  assert.deepEqual([...new Set(codes)], ['ERR_GRAPHQL_INTROSPECTION']);
  for (const near of ['{ cc }', '{ b(xx: "") { c } }']) {
    const prepared = await preparer.prepare(near, undefined, stranger);
    const messages = prepared.ok ? [] : prepared.errors.map(({ message }) => message);
    assert.ok(messages.length > 0);
    assert.doesNotMatch(messages.join(), /did you mean/i);
  }
});

test('an answer cannot be given another prototype', async () => {
  assert.deepEqual(await codesOf('{ __proto__: c }'), ['ERR_GRAPHQL_DOCUMENT']);
});

test('documents are remembered by what they weigh, so that many large ones fill no memory', async () => {
  const sizeOf = { small: 40, large: 18_000 } as const;
  for (const [size, isKept] of [
    ['small', true],
    ['large', false],
  ] as const) {
    const textOf = (i: number) => `query Q${i} { b(x: "${'x'.repeat(sizeOf[size])}") { c } }`;
    for (let i = 0; i < 200; i += 1) assert.deepEqual(await codesOf(textOf(i)), []);
    const before = planned;
    await codesOf(textOf(199));
    assert.equal(planned, before, 'the last one is remembered');
    await codesOf(textOf(0));
    assert.equal(planned === before, isKept, `whether the first ${size} one is`);
  }
});

test('a document that ended the planner is never planned again, one that came at a bad time is', async () => {
  const refused = ['ERR_GRAPHQL_DOCUMENT'];
  for (const [isPassing, then] of [
    [false, refused],
    [true, []],
  ] as const) {
    const text = `{ b(x: "${isPassing}") { c } }`;
    unwell = new CountersignError('ERR_ROUTER_PLANNER', 'broke off', { fields: { isPassing } });
    assert.deepEqual(await codesOf(text), refused);
    unwell = undefined;
    assert.deepEqual(await codesOf(text), then);
  }
});
