import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CountersignError, noLog, noMeter } from '@countersign/base';
import { testClock } from '@countersign/testkit';
import { FeedDouble, following, peerOf, setHeartbeats, turn } from './feed-double.suite.ts';
import { followRevocations } from './index.ts';

test('nobody is known before the first catch-up, and the peer is good after it', async (t) => {
  const feed = new FeedDouble();
  feed.isDown = true;
  const { clock, follower } = await following(t, { feed });
  assert.equal(follower.check(peerOf()).status, 'unknown');
  assert.equal(follower.silentMs(), Number.POSITIVE_INFINITY);
  feed.isDown = false;
  await clock.advance(300);
  await follower.ready;
  assert.equal(follower.check(peerOf()).status, 'good');
  assert.equal(follower.check(peerOf({ anchor: '00'.repeat(32) })).status, 'good');
});

test('a peer of the followed trust domain under a root that the feed has not named is unknown, not good', async (t) => {
  const { follower } = await following(t);
  await follower.ready;
  const under = (spiffeId: string) => peerOf({ anchor: '00'.repeat(32), spiffeId });
  const status = follower.check(under('spiffe://example.com/a'));
  assert.equal(status.status, 'unknown');
  assert.match(status.status === 'unknown' ? status.detail : '', /root 0{64} is not among/);
  assert.equal(follower.check(under('spiffe://example.com.evil/a')).status, 'good');
  assert.equal(follower.check(under('spiffe://other.org/a')).status, 'good');
});

test('the lease is part of being ready: without it nothing is known', async (t) => {
  const feed = new FeedDouble();
  feed.isLeaseDown = true;
  const { clock, follower } = await following(t, { feed });
  assert.equal(follower.check(peerOf()).status, 'unknown');
  feed.isLeaseDown = false;
  await clock.advance(1000);
  assert.equal(follower.check(peerOf()).status, 'good');
});

test('a revocation is applied at once, then cut, then acknowledged with what was closed', async (t) => {
  const order: string[] = [];
  const closing = Promise.withResolvers<{ closed: number; kept: number; elapsedMs: number }>();
  const { clock, feed, follower } = await following(t, {
    onApplied: () => {
      order.push('cut');
      return closing.promise;
    },
  });
  follower.onChange(() => order.push('changed'));
  const { position } = feed.revoke({ value: 'c3' });
  await turn(clock);
  assert.equal(follower.check(peerOf()).status, 'revoked');
  assert.equal(follower.position, position);
  assert.deepEqual(order, ['cut']);
  // A renewal meanwhile must not acknowledge what is not cut yet.
  await clock.advance(10_000);
  assert.equal(feed.lastLease?.release === false && feed.lastLease.position, 0);
  closing.resolve({ closed: 3, kept: 4, elapsedMs: 1 });
  await turn(clock);
  const { instance } = follower;
  assert.deepEqual(feed.lastLease, {
    release: false,
    instance,
    maxSilenceMs: 3_600_000,
    roots: ['ab'.repeat(32)],
    position,
    closed: { closed: 3, kept: 4, elapsedMs: 1 },
  });
  assert.deepEqual(order, ['cut', 'changed']);
  assert.equal(follower.acknowledged, position);
});

test('a burst is cut in few rounds and acknowledged up to its last', async (t) => {
  const { clock, feed, follower, cut, metrics } = await following(t);
  for (let i = 1; i <= 50; i += 1) feed.revoke({ value: `${i.toString(16)}a` });
  await turn(clock);
  assert.ok(cut.length <= 3, `${cut.length} rounds`);
  assert.equal(cut.flat().length, 50);
  assert.equal(follower.acknowledged, feed.head);
  assert.equal(metrics.get('countersign_revocations_applied_total'), 50);
});

test('a cut that fails is not acknowledged, and is tried again', async (t) => {
  let failures = 2;
  const { clock, feed, follower, logged } = await following(t, {
    onApplied: () => {
      failures -= 1;
      if (failures >= 0) throw new Error('registry broke');
      return { closed: 1, kept: 0, elapsedMs: 0 };
    },
  });
  feed.revoke({ value: 'c3' });
  await turn(clock);
  assert.equal(follower.acknowledged, 0);
  assert.equal(follower.check(peerOf()).status, 'revoked');
  await clock.advance(1000);
  await turn(clock);
  await clock.advance(1000);
  await turn(clock);
  assert.equal(follower.acknowledged, feed.head);
  assert.ok(logged.some((line) => line.includes('registry broke')));
});

test('counts whose acknowledgement was lost go with the next one', async (t) => {
  const { clock, feed } = await following(t);
  feed.isLeaseDown = true;
  feed.revoke({ value: 'a1' });
  await turn(clock);
  feed.revoke({ value: 'a2' });
  await turn(clock);
  feed.isLeaseDown = false;
  await clock.advance(6000);
  const reports = feed.leases.filter(
    (lease) => lease.release === false && lease.closed !== undefined,
  );
  assert.equal(reports.length, 1);
  assert.equal(reports[0]?.release === false && reports[0].closed?.closed, 2);
});

test('a lost frame is noticed at the next one or at the next heartbeat, and asked for again', async (t) => {
  for (const notice of ['revocation', 'heartbeat'] as const) {
    const { clock, feed, follower, logged } = await following(t);
    feed.revoke({ value: 'a1' });
    feed.revoke({ value: 'c3' }, { isLost: true });
    await turn(clock);
    assert.equal(follower.check(peerOf()).status, 'good');
    if (notice === 'heartbeat') feed.heartbeat();
    else feed.revoke({ value: 'a3' });
    await clock.advance(300);
    assert.equal(follower.check(peerOf()).status, 'revoked', notice);
    assert.deepEqual(feed.cursors, [0, 10]);
    assert.ok(logged.some((line) => /last applied is 10/.test(line)));
    await follower.stop();
  }
});

test('a doubled frame is refused and the set stays as it is', async (t) => {
  const { clock, feed, follower, cut } = await following(t);
  const frame = feed.revoke({ value: 'a1' });
  feed.send(frame);
  await clock.advance(300);
  assert.deepEqual(cut, [[10]]);
  assert.deepEqual(feed.cursors, [0, 10]);
  assert.equal(follower.position, 10);
});

test('a feed that ended is followed again from the cursor, with a wait that grows to ten seconds', async (t) => {
  const { clock, feed, follower, metrics } = await following(t);
  feed.revoke({ value: 'a1' });
  await turn(clock);
  assert.equal(metrics.get('countersign_feed_connected'), 1);
  feed.isDown = true;
  feed.drop();
  await turn(clock);
  assert.equal(metrics.get('countersign_feed_connected'), 0);
  const attempts: number[] = [];
  const feedCall = feed.client.feed;
  Object.assign(feed.client, {
    feed: (query: Parameters<typeof feedCall>[0]) => {
      attempts.push(clock.now());
      return feedCall(query);
    },
  });
  await clock.advance(60_000);
  const waits = attempts.slice(1).map((at, i) => at - (attempts[i] ?? 0));
  assert.ok(Math.max(...waits) === 7500 && attempts.length < 16, waits.join(' '));
  feed.isDown = false;
  feed.revoke({ value: 'c3' });
  await clock.advance(10_000);
  assert.equal(follower.check(peerOf()).status, 'revoked');
  assert.deepEqual(feed.cursors.slice(0, 2), [0, 10]);
});

test('an older authority is followed without what it does not know, until it is brought up to date', async (t) => {
  const feed = new FeedDouble();
  const asked: (number | undefined)[] = [];
  let isOld = true;
  const older: FeedDouble['client'] = {
    ...feed.client,
    feed(query) {
      asked.push(query.reads);
      if (!isOld || query.reads === undefined) return feed.client.feed(query);
      throw new CountersignError('ERR_WIRE_UNKNOWN_MEMBER', 'feed query has unknown "reads"');
    },
  };
  const { clock, follower } = await following(t, { feed, client: older });
  await clock.advance(300);
  await follower.ready;
  isOld = false;
  feed.drop();
  await clock.advance(1000);
  assert.deepEqual(asked, [2, undefined, 2]);
  assert.equal(follower.check(peerOf()).status, 'good');
});

test('a connection on which nothing arrives for three heartbeats is given up', async (t) => {
  const { clock, feed, logged } = await following(t);
  await clock.advance(2900);
  assert.equal(feed.cursors.length, 1);
  await clock.advance(500);
  assert.equal(feed.cursors.length, 2);
  assert.ok(logged.some((line) => line.includes('nothing arrived for 3000 ms')));
});

test('silence is told after 30 s, and after an hour nobody is known and connections are re-asked', async (t) => {
  const { clock, feed, follower, logged, metrics } = await following(t);
  feed.revoke({ value: 'a1' });
  await turn(clock);
  let changes = 0;
  follower.onChange(() => {
    changes += 1;
  });
  feed.isDown = true;
  feed.drop();
  await clock.advance(29_000);
  assert.ok(!logged.some((line) => line.includes('silent')));
  await clock.advance(2000);
  assert.ok(logged.some((line) => line.startsWith('warn revocation feed is silent')));
  assert.equal(metrics.get('countersign_feed_silent'), 1);
  assert.ok((metrics.get('countersign_feed_lag_seconds') ?? 0) >= 30);
  assert.equal(follower.check(peerOf()).status, 'good');
  assert.equal(changes, 0);
  await clock.advance(3_600_000 - 32_000);
  assert.equal(follower.check(peerOf()).status, 'good');
  await clock.advance(2000);
  const status = follower.check(peerOf());
  assert.match(status.status === 'unknown' ? status.detail : '', /silent for 1h1s.*at most 1h/);
  assert.equal(follower.check(peerOf({ serial: 'a1' })).status, 'revoked');
  assert.equal(follower.check(peerOf({ anchor: '00'.repeat(32) })).status, 'good');
  assert.equal(changes, 1);
  feed.isDown = false;
  await clock.advance(10_000);
  assert.equal(follower.check(peerOf()).status, 'good');
  assert.equal(changes, 2);
});

test('answers end no later than the lease, also when only the lease cannot be renewed', async (t) => {
  const { clock, feed, follower } = await following(t, { maxSilenceMs: 60_000 });
  const beating = setHeartbeats(feed, clock);
  feed.isLeaseDown = true;
  await clock.advance(50_000);
  assert.equal(follower.check(peerOf()).status, 'good');
  await clock.advance(11_000);
  assert.equal(follower.check(peerOf()).status, 'unknown');
  beating.abort();
});

test('neither a machine that slept nor a wall clock set back makes silence shorter', async (t) => {
  const { clock, feed, follower } = await following(t);
  feed.isDown = true;
  feed.drop();
  await turn(clock);
  clock.step(-86_400_000);
  await clock.advance(3_599_000);
  assert.equal(follower.check(peerOf()).status, 'good');
  await clock.advance(2000);
  assert.equal(follower.check(peerOf()).status, 'unknown');
  const asleep = await following(t);
  asleep.clock.step(3_601_000);
  assert.equal(asleep.follower.check(peerOf()).status, 'unknown');
});

test('an authority that went back, or another one, is not followed and told of', async (t) => {
  for (const [hello, words] of [
    [{ position: 5 }, /newest revocation of the authority is 5, 10 was received/],
    [{ trustDomain: 'other.example' }, /of trust domain "other.example", followed so far/],
  ] as const) {
    const { clock, feed, follower, logged } = await following(t);
    feed.revoke({ value: 'c3' });
    await turn(clock);
    feed.hello = hello;
    feed.drop();
    await clock.advance(40_000);
    assert.ok(
      logged.some((line) => words.test(line)),
      logged.join('\n'),
    );
    assert.ok(logged.some((line) => line.startsWith('warn revocation feed is silent')));
    assert.equal(follower.check(peerOf()).status, 'revoked');
    await follower.stop();
  }
});

test('stop releases the lease, ends the feed and rejects who still waits to be ready', async (t) => {
  const { clock, feed, follower } = await following(t);
  await follower.stop();
  assert.deepEqual(feed.lastLease, { release: true, instance: follower.instance });
  assert.equal(feed.isConnected, false);
  assert.equal(clock.sleeping, 0);
  const down = new FeedDouble();
  down.isDown = true;
  const never = await following(t, { feed: down });
  await never.follower.stop();
  await assert.rejects(never.follower.ready, {
    code: 'ERR_REVOCATION_STOPPED',
    message: /stopped/,
  });
  assert.equal(down.leases.length, 0);
});

test('an abort of the signal stops the follower too', async (t) => {
  const stopping = new AbortController();
  const { clock, feed } = await following(t, { signal: stopping.signal });
  stopping.abort();
  await turn(clock);
  assert.equal(feed.lastLease?.release, true);
});

test('a maximum silence that no edge can keep is refused', async () => {
  const options = {
    client: new FeedDouble().client,
    clock: testClock(),
    log: noLog,
    meter: noMeter,
  };
  const onApplied = () => ({ closed: 0, kept: 0, elapsedMs: 0 });
  for (const maxSilenceMs of [0, 999, Number.NaN, 8 * 86_400_000]) {
    assert.throws(() => followRevocations({ ...options, onApplied, maxSilenceMs }), {
      code: 'ERR_USAGE',
    });
  }
});
