import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { countersign, startDemo, temporaryDirectory } from './countersign.ts';
import { assertWholeStory } from './demo-story.ts';

test('a demo tells its story and ends, beside another in the same directory that stays', {
  timeout: 110_000,
}, async (t) => {
  const cwd = await temporaryDirectory(t);
  const [once, staying] = await Promise.all([
    countersign(['demo', '--once'], { cwd, timeoutMs: 100_000 }),
    startDemo(t, cwd),
  ]);
  assert.equal(once.code, 0, once.stdout + once.stderr);
  assertWholeStory(once.stdout);
  assertWholeStory(staying.stdout());
  // Each has its own directory.
  assert.deepEqual((await readdir(join(cwd, '.countersign'))).toSorted(), [
    'demo',
    'demo-2',
    ...(await readdir(join(cwd, '.countersign'))).filter((name) => name.endsWith('.lock')),
  ]);
});
