import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { browserPages } from './graphiql-page.ts';

test('GraphiQL is served where it is installed with React, from this server alone', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'pages-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  };
  const from = join(directory, 'router.js');
  for (const [owner, files] of [
    ['react', ['umd/react.production.min.js']],
    ['react-dom', ['umd/react-dom.production.min.js']],
    ['graphiql', ['graphiql.min.js', 'graphiql.min.css']],
  ] as const) {
    const bare = await browserPages(from);
    assert.equal(bare.isGraphiql, false);
    assert.equal(bare.files.size, 0);
    put(`node_modules/${owner}/package.json`, '{}');
    for (const file of files) put(`node_modules/${owner}/${file}`, `of ${owner}`);
  }
  const { page, files, isGraphiql } = await browserPages(from);
  assert.equal(isGraphiql, true);
  const html = String(page.body);
  const loaded = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path ?? '');
  assert.deepEqual([...loaded].sort(), [...files.keys()].sort());
  assert.doesNotMatch(html, /<script>|https?:|onload/);
  for (const { policy } of [page, ...files.values()]) {
    assert.match(policy, /default-src 'none'.*script-src 'self';/);
  }
});
