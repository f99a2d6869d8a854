import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { startCountersign, temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';

test('router.yaml is checked, explained and served; a supergraph that changes is taken over', async (t) => {
  const directory = await temporaryDirectory(t);
  const at = (name: string) => join(directory, name);
  const config = at('router.yaml');
  await writeFile(at('a.graphql'), 'type Query { a: Int @allow(roles: ["admin"]) b: Int }');
  await writeFile(
    config,
    'mtls: { trust_domain: example.org }\nsubgraphs: [{ name: a, url: "https://localhost:1/", schema: a.graphql }]\n',
  );
  const [checked, explained, schema, wrong] = await Promise.all([
    countersign(['check', config]),
    countersign([
      'router',
      'explain',
      '--config',
      config,
      '--as',
      'spiffe://example.org/web',
      '{ a b }',
    ]),
    countersign(['router', 'schema']),
    countersign(['router', '--config', config, '--prot', '1']),
  ]);
  assert.equal(checked.code, 0, checked.stderr);
  assert.equal(explained.code, 1);
  assert.match(explained.stdout, /refused Query\.a: @allow.*"admin"/);
  assert.match(
    explained.stdout,
    /fetch a .*\n.*to spiffe:\/\/example\.org\/ns\/default\/sa\/a alone\n.*\{b\}/,
  );
  assert.equal(JSON.parse(schema.stdout).type, 'object');
  assert.equal(wrong.code, 2);

  const router = await startCountersign(t, ['router', '--config', config, '--port', '0']);
  const ask = async (query: string) => {
    const response = await fetch(`${router.urls[0]}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query }),
    });
    return JSON.stringify(await response.json());
  };
  assert.match(await ask('{ c }'), /Cannot query field/);
  await writeFile(at('a.graphql'), 'type Query { c: Int }');
  const isTakenOver = async () => /ERR_SUBGRAPH_UNAVAILABLE/.test(await ask('{ c }'));
  while (!(await isTakenOver())) await new Promise((resolve) => setTimeout(resolve, 100));
});
