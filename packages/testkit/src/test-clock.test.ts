import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testClock } from './test-clock.ts';

test('sleeps end in order at their own times, and those that they begin are served too', async () => {
  const clock = testClock(1000);
  const seen: [string, number][] = [];
  const sleepTwice = async (name: string, ms: number): Promise<void> => {
    for (let round = 0; round < 2; round += 1) {
      await clock.sleep(ms);
      seen.push([name, clock.now()]);
    }
  };
  void sleepTwice('slow', 30);
  void sleepTwice('quick', 20);
  await clock.advance(45);
  assert.deepEqual(seen, [
    ['quick', 1020],
    ['slow', 1030],
    ['quick', 1040],
  ]);
  assert.equal(clock.now(), 1045);
  assert.equal(clock.sleeping, 1);
});

test('an aborted sleep rejects with the reason, and a step moves the wall clock alone', async () => {
  const clock = testClock(0);
  const controller = new AbortController();
  const sleep = clock.sleep(10, { signal: controller.signal });
  controller.abort(new Error('enough'));
  await assert.rejects(sleep, /enough/);
  assert.equal(clock.sleeping, 0);
  clock.step(-5000);
  assert.deepEqual([clock.now(), clock.monotonic()], [-5000, 0]);
});
