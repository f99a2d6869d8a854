import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

const found = spawnSync('python3', ['--version']).status === 0;
const skip = found ? false : 'no python3';

test('a subgraph in Python that requires certificates takes those of the router, and is known by its own', {
  skip,
}, async (t) => {
  const directory = await temporaryDirectory(t);
  const at = (name: string) => join(directory, name);
  await writeFile(at('python.graphql'), 'type Query { caller: String }');
  const config = (port: string) => `
mtls: { trust_domain: example.org, ca_cert_path: ca.pem, ca_key_path: ca.key }
subgraphs: [{ name: python, url: "https://localhost:${port}/", schema: python.graphql }]
`;
  await writeFile(at('router.yaml'), config('1'));
  const words = ['router', 'issue-svid', '--config', at('router.yaml'), '--service', 'python'];
  const issued = await countersign([...words, '--out', at('python')]);
  assert.equal(issued.code, 0, issued.stderr);
  const script = join(import.meta.dirname, 'foreign', 'subgraph.py');
  const child = spawn('python3', [script, at('python')], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill());
  const [said] = await once(child.stdout, 'data');
  await writeFile(at('router.yaml'), config(String(said).trim().split(' ')[1] ?? ''));
  const router = await startCountersign(t, [
    'router',
    '--config',
    at('router.yaml'),
    '--port',
    '0',
  ]);
  const response = await fetch(`${router.urls[0]}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: '{ caller }' }),
  });
  assert.deepEqual(await response.json(), {
    data: { caller: 'spiffe://example.org/ns/default/sa/router' },
  });
});
