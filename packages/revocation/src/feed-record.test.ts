import assert from 'node:assert/strict';
import { appendFile, mkdtemp, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { testClock } from '@countersign/testkit';
import { FeedDouble, following, peerOf } from './feed-double.suite.ts';
import { FeedRecord } from './index.ts';

async function statePathFor(t: { after(f: () => Promise<void>): void }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'revocation-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'revocations.ndjson');
}

/** Follows until one revocation is applied and acknowledged, then vanishes without a goodbye. */
async function crashedAfterRevoking(t: { after(f: () => Promise<void>): void }, statePath: string) {
  const clock = testClock();
  const feed = new FeedDouble();
  const { follower } = await following(t, { feed, clock, statePath });
  await waitUntil(clock, () => feed.isConnected);
  feed.revoke({ value: 'c3' });
  await waitUntil(clock, () => follower.acknowledged === 10);
  feed.heartbeat();
  await waitUntil(clock, async () => (await readFile(statePath, 'utf8')).includes('heartbeat'));
  return { clock, feed, crashed: await readFile(statePath) };
}

async function waitUntil(
  clock: { advance(ms: number): Promise<void> },
  is: () => boolean | Promise<boolean>,
): Promise<void> {
  // The disk takes its own time, whatever the test's clock says.
  for (let i = 0; i < 2000; i += 1) {
    if (await is()) return;
    await clock.advance(0);
    if (i > 100) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.fail('did not come about');
}

test('what is acknowledged is on disk before, for the owner alone', async (t) => {
  const statePath = await statePathFor(t);
  const { crashed } = await crashedAfterRevoking(t, statePath);
  assert.match(crashed.toString(), /"type":"hello".*"value":"c3".*"heartbeat"/s);
  assert.equal((await stat(statePath)).mode & 0o777, 0o600);
});

test('what was asked about before a revocation leaves nothing that makes the record unreadable', async (t) => {
  const statePath = await statePathFor(t);
  const clock = testClock();
  const feed = new FeedDouble();
  const { follower } = await following(t, { feed, clock, statePath, countOpen: () => 0 });
  await waitUntil(clock, () => feed.isConnected);
  const told = { by: 'provisioner', value: 'mine', pages: 1 } as const;
  feed.send({ type: 'covered', position: 0, page: 0, runs: [7, 9] });
  feed.send({ type: 'question', position: 0, id: 'ab'.repeat(8), below: 12, ...told });
  feed.revoke({ value: 'c3' });
  feed.send({ type: 'covered', position: 20, page: 0, runs: [2, 4] });
  feed.revoke(told);
  await waitUntil(clock, () => follower.acknowledged === 20);
  const copy = `${statePath}.copy`;
  await writeFile(copy, await readFile(statePath));
  const opened = await FeedRecord.open(copy, { clock: testClock() });
  await opened.record.close();
  assert.equal(opened.damaged, undefined);
  assert.equal(opened.set.position, 20);
  assert.equal(opened.set.find(peerOf())?.status, 'revoked');
});

test('an edge restarted while the authority is down knows the last set, until the silence is over', async (t) => {
  const statePath = await statePathFor(t);
  const { clock, crashed } = await crashedAfterRevoking(t, statePath);
  const copy = `${statePath}.copy`;
  await writeFile(copy, crashed);
  const feed = new FeedDouble();
  feed.isDown = true;
  const { follower } = await following(t, { feed, clock, statePath: copy });
  await follower.ready;
  assert.equal(follower.position, 10);
  assert.equal(follower.check(peerOf()).status, 'revoked');
  assert.equal(follower.check(peerOf({ serial: 'd4' })).status, 'good');
  await clock.advance(3_601_000);
  assert.equal(follower.check(peerOf({ serial: 'd4' })).status, 'unknown');
  assert.equal(follower.check(peerOf()).status, 'revoked');
});

test('an edge restarted with its record asks the feed from its cursor', async (t) => {
  const statePath = await statePathFor(t);
  const { clock, feed, crashed } = await crashedAfterRevoking(t, statePath);
  const copy = `${statePath}.copy`;
  await writeFile(copy, crashed);
  const again = await following(t, { feed, clock, statePath: copy });
  await waitUntil(clock, () => feed.cursors.length === 2);
  assert.equal(feed.cursors.at(-1), 10);
  await again.follower.ready;
});

test('after a stop that released the lease, the record alone is not enough to answer', async (t) => {
  const statePath = await statePathFor(t);
  const clock = testClock();
  const feed = new FeedDouble();
  const { follower } = await following(t, { feed, clock, statePath });
  await waitUntil(clock, () => follower.silentMs() < 1000);
  await follower.stop();
  feed.isDown = true;
  const again = await following(t, { feed, clock, statePath });
  await waitUntil(clock, () => again.logged.some((line) => line.includes('ECONNREFUSED')));
  assert.equal(again.follower.check(peerOf()).status, 'unknown');
});

test('after a stop that could not release the lease, the record is as good as after a crash', async (t) => {
  const statePath = await statePathFor(t);
  const clock = testClock();
  const feed = new FeedDouble();
  const { follower } = await following(t, { feed, clock, statePath });
  await waitUntil(clock, () => follower.silentMs() < 1000);
  feed.isDown = true;
  await follower.stop();
  const again = await following(t, { feed, clock, statePath });
  await waitUntil(clock, () => again.follower.check(peerOf()).status === 'good');
});

test('a record torn at any byte gives a true prefix or nothing, and is written anew', async (t) => {
  const statePath = await statePathFor(t);
  const { crashed } = await crashedAfterRevoking(t, statePath);
  const copy = `${statePath}.copy`;
  for (let length = 0; length < crashed.byteLength; length += 7) {
    await writeFile(copy, crashed.subarray(0, length));
    const { record, set, damaged } = await FeedRecord.open(copy, { clock: testClock() });
    await record.close();
    assert.equal(damaged, undefined);
    assert.ok(set.position === 0 || set.position === 10);
    const again = await FeedRecord.open(copy, { clock: testClock() });
    await again.record.close();
    assert.equal(again.set.position, set.position);
  }
});

test('a record from whose middle a line is missing is of no use, which is told', async (t) => {
  const statePath = await statePathFor(t);
  const { clock, feed, crashed } = await crashedAfterRevoking(t, statePath);
  const lines = crashed.toString().trimEnd().split('\n');
  const copy = `${statePath}.copy`;
  const revocation = lines.findIndex((line) => line.includes('"revocation"'));
  await writeFile(copy, `${lines.toSpliced(revocation, 1).join('\n')}\n`);
  const { follower, logged } = await following(t, { feed, clock, statePath: copy });
  await waitUntil(clock, () => follower.position === 10);
  assert.ok(
    logged.some((line) => line.includes('revocation state is of no use')),
    logged.join(),
  );
  assert.equal(feed.cursors.at(-1), 0);
});

test('a record says at most a silence ahead: a clock set back, or a forged moment, is not believed', async (t) => {
  const statePath = await statePathFor(t);
  const { clock, crashed } = await crashedAfterRevoking(t, statePath);
  const copy = `${statePath}.copy`;
  await writeFile(copy, crashed);
  const heartbeat = { type: 'heartbeat', position: 10, at: clock.now() + 3_700_000 };
  await appendFile(copy, `${JSON.stringify(heartbeat)}\n`);
  const feed = new FeedDouble();
  feed.isDown = true;
  const { follower, logged } = await following(t, { feed, clock, statePath: copy });
  await waitUntil(clock, () => logged.some((line) => line.includes('ECONNREFUSED')));
  assert.equal(follower.check(peerOf({ serial: 'd4' })).status, 'unknown');
});

test('a record that cannot be written is told, and following goes on without it', async (t) => {
  const statePath = join(await statePathFor(t), 'no-such-directory', 'x');
  const { clock, feed, follower, logged } = await following(t, { statePath });
  await waitUntil(clock, () => feed.isConnected);
  await follower.ready;
  assert.ok(logged.some((line) => line.startsWith('error open revocation state')));
});

test('a record that missed a revocation is not there for the next start', async (t) => {
  const statePath = await statePathFor(t);
  const clock = testClock();
  const { feed, follower, logged } = await following(t, { clock, statePath });
  await follower.ready;
  feed.heartbeat();
  await waitUntil(clock, async () => (await readFile(statePath, 'utf8')).includes('heartbeat'));
  const probe = await open(statePath);
  t.mock.method(Object.getPrototypeOf(probe), 'appendFile', () => {
    return Promise.reject(new Error('ENOSPC: no space left on device'));
  });
  await probe.close();
  feed.revoke({ value: 'c3' });
  await waitUntil(clock, () => follower.acknowledged === 10);
  assert.ok(logged.some((line) => /no space left.*going on without it/.test(line)));
  await assert.rejects(stat(statePath), { code: 'ENOENT' });
});

test('a record that could not be opened is not there for the next start either', async (t) => {
  const statePath = await statePathFor(t);
  await crashedAfterRevoking(t, statePath);
  const probe = await open(statePath);
  t.mock.method(Object.getPrototypeOf(probe), 'sync', () => {
    return Promise.reject(new Error('ENOSPC: no space left on device'));
  });
  await probe.close();
  const { follower } = await following(t, { statePath });
  await follower.ready;
  await assert.rejects(stat(statePath), { code: 'ENOENT' });
});

test('a record drops what has ended, at its start and whenever it has doubled, and goes on as before', async (t) => {
  const path = await statePathFor(t);
  const clock = testClock();
  const day = 86_400_000;
  const revocation = (position: number, previous: number, more: object = {}) =>
    ({
      ...{ type: 'revocation', by: 'serial', reason: 'superseded', at: clock.now() },
      ...{ position, previous, value: `01${String(position).padStart(6, '0')}`, ...more },
    }) as const;
  const hello = { type: 'hello', trustDomain: 'example.com' } as const;
  const first = await FeedRecord.open(path, { clock, compactAtBytes: 4096 });
  const anchors = ['ab'.repeat(32)];
  await first.record.append({ ...hello, position: 0, heartbeatMs: 5000, anchors });
  let previous = 0;
  for (let position = 1; position <= 200; position += 1) {
    // Every tenth is of a key, and stays.
    const isKey = position % 10 === 0;
    const key = { by: 'key', value: String(position).padStart(64, '0') };
    const more = isKey ? key : { until: clock.now() - 2 * day };
    await first.record.append(revocation(position, previous, more) as never);
    previous = position;
    await first.record.append({ type: 'heartbeat', position, at: clock.now() + day });
  }
  await first.record.append(revocation(201, 200, { until: clock.now() - 2 * day }) as never);
  await first.record.close();
  // Compacted on the way, more than once: 400 lines are some 50 kB.
  assert.ok((await stat(path)).size < 10_000);

  const again = await FeedRecord.open(path, { clock });
  await again.record.close();
  assert.equal(again.damaged, undefined);
  assert.equal(again.set.position, 201);
  assert.equal(again.set.size, 20);
  assert.equal((await readFile(path, 'utf8')).trimEnd().split('\n').length, 1 + 20 + 1 + 1);

  // One of those lines missing is still found out.
  const lines = (await readFile(path, 'utf8')).split('\n');
  await writeFile(path, lines.toSpliced(5, 1).join('\n'));
  const torn = await FeedRecord.open(path, { clock });
  await torn.record.close();
  assert.match(torn.damaged ?? '', /follows/);
});
