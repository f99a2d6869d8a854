import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { kindOfSelector, selectorKinds } from './attest/selector-kinds.ts';
import { parseAgentConfig } from './index.ts';

const text = readFileSync(new URL('../../../docs/agent.md', import.meta.url), 'utf8');

test('the example of docs/agent.md is read, and its selectors are all that there are', () => {
  const [, example = ''] = /^```yaml\n(agent:.*?)^```$/ms.exec(text) ?? [];
  const { entries, federation } = parseAgentConfig(example, 'docs/agent.md');
  assert.deepEqual([entries.length, federation.length], [1, 1]);
  const documented = [...text.matchAll(/`([a-z0-9]+:[a-z0-9_-]+):`/g)].map(([, name]) => name);
  const kinds = selectorKinds.map(({ name }) => name);
  assert.deepEqual(documented.toSorted(), kinds.toSorted());
  for (const { selectors } of entries) {
    for (const selector of selectors) assert.ok(kindOfSelector(selector).ok, selector);
  }
});

test('each way of attestation in docs/agent.md is read, one at a time', () => {
  const [, example = ''] = /^```yaml\n(attest:.*?)^```$/ms.exec(text) ?? [];
  const [head = '', pin = '', ...ways] = example.replace('5f8d…', 'ab'.repeat(32)).split('\n');
  const kinds = ways.flatMap((way) => {
    if (!/^ {2}[a-z]/.test(way)) return [];
    const { attest } = parseAgentConfig([head, pin, way].join('\n'), 'docs/agent.md');
    return attest?.source.kind ?? [];
  });
  assert.deepEqual(kinds, ['file', 'file', 'aws', 'gcp', 'azure', 'tpm']);
});
