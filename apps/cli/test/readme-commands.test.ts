import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { verbTable } from '../src/verb-table.ts';

test('the README names every command, and none that is not there', async () => {
  const readme = await readFile(join(import.meta.dirname, '..', '..', '..', 'README.md'), 'utf8');
  const section = readme.slice(readme.indexOf('## The commands'), readme.indexOf('## More'));
  const cells = [...section.matchAll(/^\| (`.*?) \|/gm)].map(([, cell = '']) => cell);
  const named = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
  const words = new Set(named.map((name = '') => name.split(' ')[0]));
  const verbs = new Set(verbTable.map(({ name }) => name.split(' ')[0]));
  assert.deepEqual([...words].toSorted(), [...verbs].toSorted());
  for (const name of named) {
    const isVerb = verbTable.some((row) => row.name === name || row.name.startsWith(`${name} `));
    assert.ok(isVerb, `the README has "${name}"`);
  }
});
