import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { countersign, startDemo, temporaryDirectory } from './countersign.ts';

const steps = [
  'authority',
  'serving',
  'issued',
  'gateway',
  'allowed',
  'denied',
  'rotated',
  'streaming',
  'revoked',
  'acknowledged',
  'unharmed',
  'router',
  'withheld',
];

test('the demo tells its whole story beside another in the same directory, and none leaves a process behind', {
  timeout: 110_000,
}, async (t) => {
  const cwd = await temporaryDirectory(t);
  const [once, staying] = await Promise.all([
    countersign(['demo', '--once'], { cwd, timeoutMs: 100_000 }),
    startDemo(t, cwd),
  ]);
  // One told it and ended: every step happened, in order, in a dozen lines.
  assert.equal(once.code, 0, once.stdout + once.stderr);
  const told = once.stdout.split('\n').flatMap((line) => /✓ (\w+)/.exec(line)?.[1] ?? []);
  assert.deepEqual(told, steps);
  assert.match(once.stdout, /denied .*403 ERR_AUTHZ_NO_RULE/);
  assert.match(once.stdout, /rotated .* [1-9]\d* requests, 0 failed/);
  assert.match(once.stdout, /revoked .*[1-9]\d* connections? on 1 gateway, [\d.]+ ms after/);
  // The other stays up and says what to try; each has its own directory.
  assert.match(staying.stdout(), /curl --cert .*\/orders\n/);
  assert.deepEqual((await readdir(join(cwd, '.countersign'))).toSorted(), [
    'demo',
    'demo-2',
    ...(await readdir(join(cwd, '.countersign'))).filter((name) => name.endsWith('.lock')),
  ]);
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
