import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathRewrite } from './path-rewrite.ts';

test('a prefix is replaced within segments too, and never leaves two slashes', () => {
  const match = { kind: 'prefix', text: '/api', ignoreCase: false } as const;
  const bare = pathRewrite(match, { prefix: '/' });
  assert.equal(bare?.('/api/x'), '/x');
  assert.equal(bare?.('/api'), '/');
  assert.equal(bare?.('/apix'), '/x');
  // What this makes is no path that rules were asked about: requests for it are refused.
  assert.equal(bare?.('/api../admin'), '/../admin');
  assert.equal(pathRewrite(match, { prefix: '/v2' })?.('/api/x'), '/v2/x');
});
