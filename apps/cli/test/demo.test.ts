import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { startDemo, temporaryDirectory } from './countersign.ts';
import { assertWholeStory } from './demo-story.ts';

test('the demo tells its whole story and stays up, and none of its processes is left when it is killed', {
  timeout: 110_000,
}, async (t) => {
  const staying = await startDemo(t, await temporaryDirectory(t));
  // Every step happened, in order, in a dozen lines.
  assertWholeStory(staying.stdout());
  assert.match(staying.stdout(), /curl --cert .*\/orders\n/);
  // Its processes end with it, even when it is killed.
  const children = await childrenOf(staying.pid);
  assert.ok(children.length >= 6, `${children.length} processes`);
  staying.kill('SIGKILL');
  for (let waited = 0; waited < 10_000; waited += 50) {
    if ((await Promise.all(children.map(isAlive))).every((alive) => !alive)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail('processes of the demo are left');
});

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text
    .trim()
    .split(' ')
    .filter((word) => word !== '')
    .map(Number);
}

/** A zombie that nobody has waited for yet is not alive. */
async function isAlive(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return status !== '' && !/\) [ZX] /.test(status);
}
