import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type FieldNode, Kind, parse, print, type SelectionNode, visit } from 'graphql';
import { fetch } from 'undici';
import { routerWorld, type World } from '../router-world.suite.ts';
import { shop } from '../shop.suite.ts';

let world: World;
before(async () => {
  world = await routerWorld({ sources: shop });
});
after(() => world.close());

/** Without the name of a review's author, which two subgraphs tell differently. */
const queries = [
  '{ me { id name email role nickname reviews { id body author { id email } of { title pages postage } } } }',
  '{ users { id name reviews { body of { upc maker { id country } stock } } } now viewerKind }',
  '{ top { __typename upc title price ... on Book { pages reviews { id author { nickname } } maker { country } } ... on Lamp { watts } } }',
  '{ search { __typename ... on User { name reviews { id } } ... on Book { title reviews { body } } ... on Lamp { watts title } } }',
  '{ latest { id body author { id nickname email } of { upc title stock } } me { name } }',
  'query Q($id: ID!) { a: user(id: $id) { id: name n: id r: reviews { id } } product(upc: "p1") { upc ... on Book { p: postage } } }',
  'mutation { rename(id: "u2", name: "Grace") { id name email reviews { id body } nickname } }',
];

type Node = Record<string, unknown>;

/** The document with some of its selections deferred, the same every time for a seed. */
function deferSome(query: string, seed: number): string {
  let state = seed;
  const draw = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (state >> 8) % below;
  };
  let isRoot = true;
  const document = visit(parse(query, { noLocation: true }), {
    SelectionSet: {
      enter(node) {
        const isMutationRoot = isRoot && query.startsWith('mutation');
        isRoot = false;
        if (isMutationRoot || draw(3) === 0) return undefined;
        const later = node.selections.filter(() => draw(2) === 0);
        const both = node.selections.filter((each) => later.includes(each) && draw(4) === 0);
        const first = node.selections.filter(
          (each) => !later.includes(each) || both.includes(each),
        );
        if (later.length === 0) return undefined;
        return { ...node, selections: [...first, deferred(later)] };
      },
    },
  });
  return print(document);
}

function deferred(selections: readonly SelectionNode[]): SelectionNode {
  return {
    kind: Kind.INLINE_FRAGMENT,
    directives: [{ kind: Kind.DIRECTIVE, name: { kind: Kind.NAME, value: 'defer' } }],
    selectionSet: { kind: Kind.SELECTION_SET, selections: selections as FieldNode[] },
  };
}

async function merged(query: string, variables: object, spec: string): Promise<unknown> {
  const response = await fetch(`${world.router.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: `multipart/mixed; ${spec}` },
    body: JSON.stringify({ query, variables }),
  });
  const text = await response.text();
  if (!String(response.headers.get('content-type')).startsWith('multipart')) {
    return (JSON.parse(text) as Node).data;
  }
  const parts = text
    .split(/\r\n---(?:--)?(?:\r\n|$)|^---\r\n/)
    .filter((each) => each.includes('{'))
    .map((each) => JSON.parse(each.slice(each.indexOf('{'))) as Node);
  const [first, ...others] = parts;
  const data = first?.data as Node;
  const pending = new Map<string, (string | number)[]>();
  for (const part of parts) {
    for (const each of (part.pending ?? []) as { id: string; path: (string | number)[] }[]) {
      pending.set(each.id, each.path);
    }
  }
  for (const part of others) {
    for (const each of (part.incremental ?? []) as Node[]) {
      const path = (each.path ?? [
        ...(pending.get(String(each.id)) ?? []),
        ...((each.subPath ?? []) as string[]),
      ]) as (string | number)[];
      const target = path.reduce<unknown>((at, key) => (at as Node)[key], data);
      mergeDeep(target as Node, each.data as Node);
    }
  }
  return data;
}

function mergeDeep(target: Node, source: Node): void {
  for (const [key, value] of Object.entries(source)) {
    const known = target[key];
    if (typeof known === 'object' && known !== null && typeof value === 'object' && value) {
      mergeDeep(known as Node, value as Node);
    } else target[key] = value;
  }
}

test('whatever is deferred, the parts together are the answer that comes at once', async () => {
  const variables = { id: 'u1' };
  let inParts = 0;
  for (const query of queries) {
    const named = query.startsWith('query') ? variables : {};
    const whole = await world.ask(query, { variables: named });
    assert.ok(whole.data, JSON.stringify(whole.errors));
    for (let seed = 1; seed <= 40; seed += 1) {
      const asked = deferSome(query, seed);
      if (asked.includes('@defer')) inParts += 1;
      for (const spec of ['incrementalSpec=v0.2', 'deferSpec=20220824']) {
        assert.deepEqual(await merged(asked, named, spec), whole.data, `${spec} ${asked}`);
      }
    }
  }
  assert.ok(inParts > 150, `${inParts} of them were deferred`);
});
