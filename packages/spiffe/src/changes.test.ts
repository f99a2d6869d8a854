import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChangeSignal } from './changes.ts';

test('every listener hears a change, in order, until it leaves', () => {
  const heard: string[] = [];
  const signal = new ChangeSignal(assert.ifError);
  signal.onChange(() => heard.push('a'));
  const leave = signal.onChange(() => heard.push('b'));
  signal.notify();
  leave();
  leave();
  signal.notify();
  assert.deepEqual(heard, ['a', 'b', 'a']);
  assert.equal(signal.listenerCount, 1);
});

test('a listener that throws or rejects breaks neither the source nor the other listeners', async () => {
  const reported: unknown[] = [];
  const heard: string[] = [];
  const signal = new ChangeSignal((thrown) => reported.push(thrown));
  signal.onChange(() => {
    throw new Error('thrown');
  });
  signal.onChange(async () => {
    throw new Error('rejected');
  });
  signal.onChange(() => heard.push('innocent'));
  signal.notify();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(heard, ['innocent']);
  assert.deepEqual(
    reported.map((thrown) => (thrown as Error).message),
    ['thrown', 'rejected'],
  );
});

test('a listener may leave, join or remove others while it is told', () => {
  const heard: string[] = [];
  const signal = new ChangeSignal(assert.ifError);
  let leaveLast = () => {};
  const leaveFirst = signal.onChange(() => {
    heard.push('first');
    leaveFirst();
    leaveLast();
    signal.onChange(() => heard.push('late'));
  });
  leaveLast = signal.onChange(() => heard.push('last'));
  signal.notify();
  assert.deepEqual(heard, ['first']);
  signal.notify();
  assert.deepEqual(heard, ['first', 'late']);
});

test('the same function subscribed twice is two subscriptions', () => {
  let count = 0;
  const listener = () => {
    count += 1;
  };
  const signal = new ChangeSignal(assert.ifError);
  const leave = signal.onChange(listener);
  signal.onChange(listener);
  leave();
  signal.notify();
  assert.equal(count, 1);
});
