import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  CountersignError,
  type Log,
  type Meter,
  noLog,
  noMeter,
  systemClock,
} from '@countersign/base';
import { testCa, testClock } from '@countersign/testkit';
import fc from 'fast-check';
import {
  httpsDouble,
  paymentsId,
  renewInProcess,
  signingDouble,
} from './authority-double.suite.ts';
import {
  enrol,
  type Identity,
  type Renew,
  type RotationOptions,
  readIdentity,
  renewOverMtls,
  startRotation,
  writeIdentity,
} from './index.ts';
import { renewalTime, retryWaitMs } from './rotation-schedule.ts';

type Cleanup = { after(f: () => Promise<void>): void };

const hour = 3_600_000;

function rotating(
  t: Cleanup,
  more: Partial<RotationOptions> & { clock?: ReturnType<typeof testClock> } = {},
) {
  const clock = more.clock ?? testClock();
  const double = signingDouble(clock, hour);
  const asked: number[] = [];
  const renewal = { fails: undefined as Error | undefined };
  const logged: string[] = [];
  const metrics = new Map<string, number>();
  const renew: Renew = async (request) => {
    asked.push(clock.now());
    if (renewal.fails !== undefined) throw renewal.fails;
    return await renewInProcess(double)(request);
  };
  const identity = double.identity();
  const start = clock.now();
  const rotation = startRotation({
    identity,
    renew,
    clock,
    log: logTo(logged),
    meter: meterTo(metrics),
    random: () => 0,
    ...more,
  });
  t.after(() => rotation.stop());
  return { clock, double, asked, renewal, rotation, identity, start, logged, metrics };
}

/** Keys are made on the thread pool, in real time. */
async function until(is: () => boolean, clock?: ReturnType<typeof testClock>): Promise<void> {
  for (let i = 0; i < 4000; i += 1) {
    if (is()) return;
    await clock?.advance(0);
    await systemClock.sleep(1);
  }
  assert.fail('did not come about');
}

test('an identity is renewed at half its lifetime, again and again, and everybody is told', async (t) => {
  const swapped: string[] = [];
  const { clock, rotation, identity, asked, start, metrics } = rotating(t, {
    onSwap: (fresh) => void swapped.push(fresh.svid.serialHex),
  });
  let changes = 0;
  rotation.onChange(() => {
    changes += 1;
  });
  assert.equal(rotation.svid(), identity.svid);
  assert.equal(rotation.stats().nextRenewalAt, start + hour / 2);
  await clock.advance(hour / 2 - 1);
  assert.deepEqual(asked, []);
  await clock.advance(1);
  await until(() => changes === 1);
  assert.deepEqual(asked, [start + hour / 2]);
  assert.notEqual(rotation.svid().serialHex, identity.svid.serialHex);
  assert.deepEqual(swapped, [rotation.svid().serialHex]);
  assert.ok(!rotation.svid().privateKey.equals(identity.svid.privateKey));
  assert.equal(rotation.bundle('example.com')?.sequence, undefined);
  assert.equal(rotation.bundle('other.example'), undefined);
  // The authority sets notBefore back; what counts is when we got it.
  assert.equal(rotation.stats().nextRenewalAt, clock.now() + hour / 2);
  assert.equal(metrics.get('countersign_renewals_total renewed'), 1);
  assert.equal(
    metrics.get(`countersign_certificate_not_after_seconds ${paymentsId}`),
    rotation.svid().notAfter / 1000,
  );
  await clock.advance(hour / 2);
  await until(() => changes === 2);
  assert.deepEqual(rotation.stats().renewals, 2);
});

test('a failed renewal keeps the identity, is told, and is tried again until it succeeds', async (t) => {
  const { clock, rotation, identity, asked, renewal, logged, metrics } = rotating(t, {
    random: () => 0.5,
  });
  renewal.fails = new Error('connect ECONNREFUSED');
  // Exactly to the attempt: it fails in real time, and the clock must not run past the one after it.
  await clock.advance((rotation.stats().nextRenewalAt ?? 0) - clock.now());
  await until(() => rotation.stats().failures === 1);
  assert.equal(rotation.svid(), identity.svid);
  assert.equal(rotation.stats().lastError?.message, 'connect ECONNREFUSED');
  assert.ok(logged.some((line) => line.startsWith('warn renewal failed: connect ECONNREFUSED')));
  for (let wanted = 2; wanted <= 12; wanted += 1) {
    await clock.advance((rotation.stats().nextRenewalAt ?? 0) - clock.now());
    await until(() => rotation.stats().failures === wanted, clock);
  }
  const waits = asked.slice(1).map((at, i) => at - (asked[i] ?? 0));
  assert.deepEqual(waits.slice(0, 5), [500, 1000, 2000, 4000, 8000]);
  assert.ok(Math.max(...waits) <= 150_000, waits.join(' '));
  assert.equal(metrics.get('countersign_renewals_total failed'), 12);
  renewal.fails = undefined;
  await clock.advance((rotation.stats().nextRenewalAt ?? 0) - clock.now());
  await until(() => rotation.stats().renewals === 1, clock);
  assert.equal(rotation.stats().lastError, undefined);
});

test('an authority that is busy is asked again when it says, unless the certificate ends before', async (t) => {
  const { clock, rotation, renewal, asked } = rotating(t, { random: () => 0.5 });
  const busyFor = (retryAfterMs: number) => {
    renewal.fails = new CountersignError('ERR_API_BUSY', 'busy', { fields: { retryAfterMs } });
  };
  const untilNext = () => (rotation.stats().nextRenewalAt ?? 0) - clock.now();
  busyFor(240_000);
  await clock.advance(untilNext());
  await until(() => rotation.stats().failures === 1);
  assert.equal(untilNext(), 240_000 * 1.05);
  busyFor(3_600_000);
  await clock.advance(untilNext());
  await until(() => rotation.stats().failures === 2);
  const leftMs = rotation.stats().notAfter - clock.now();
  assert.equal(untilNext(), (leftMs / 2) * 0.75);
  assert.equal(asked.length, 2);
});

test('an answer that does not prove itself never becomes the identity', async (t) => {
  const clock = testClock();
  const { double, rotation, identity } = rotating(t, { clock });
  const foreign = testCa({ name: 'foreign', at: clock.now() });
  const stranger = foreign.svid(paymentsId, { key: identity.svid.privateKey });
  const mutations: [RegExp, typeof double.mutate][] = [
    [/private key does not belong/, (r) => ({ ...r, chain: stranger.chain.map((c) => c.raw) })],
    [/check the issued certificate/, (r) => ({ ...r, chain: r.chain.slice(0, 1) })],
    [/serial is/, (r) => ({ ...r, serial: '2' })],
  ];
  for (const [message, mutate] of mutations) {
    double.mutate = mutate;
    await assert.rejects(rotation.renewNow(), { code: 'ERR_IDENTITY_RESPONSE', message });
    assert.equal(rotation.svid(), identity.svid);
  }
  double.mutate = (r) => r;
  const other: Renew = ({ csr }) => double.issue(csr, 'spiffe://example.com/other');
  const wrong = startRotation({ identity, renew: other, clock, log: noLog, meter: noMeter });
  await assert.rejects(wrong.renewNow(), /names is "uri:spiffe:\/\/example.com\/other", expected/);
  await wrong.stop();
});

test('an identity that is due, or expired, is renewed at once', async (t) => {
  const clock = testClock();
  const double = signingDouble(clock, hour);
  for (const notAfter of [clock.now() + 60_000, clock.now() - 60_000]) {
    const identity = double.identity({ notBefore: clock.now() - hour, notAfter });
    const rotation = startRotation({
      identity,
      renew: renewInProcess(double),
      clock,
      log: noLog,
      meter: noMeter,
    });
    t.after(() => rotation.stop());
    await until(() => rotation.stats().renewals === 1, clock);
    assert.ok(rotation.svid().notAfter > clock.now());
  }
});

test('an expired identity that the authority refuses says that a new token is needed, and goes on trying', async (t) => {
  const clock = testClock();
  const double = signingDouble(clock, hour);
  const identity = double.identity({ notBefore: clock.now() - hour, notAfter: clock.now() - 1 });
  let refusals = 0;
  const renew: Renew = async () => {
    refusals += 1;
    throw new Error('certificate expired');
  };
  const rotation = startRotation({ identity, renew, clock, log: noLog, meter: noMeter });
  t.after(() => rotation.stop());
  await until(() => rotation.stats().failures === 1, clock);
  await assert.rejects(rotation.renewNow(), (thrown: CountersignError) => {
    assert.equal(thrown.code, 'ERR_IDENTITY_EXPIRED');
    assert.match(thrown.message, /which expired at 2025-12-31T23:59:59.*: certificate expired/);
    assert.match(thrown.hint, /enrol again with a new token/);
    return true;
  });
  await clock.advance(600_000);
  await until(() => refusals >= 3, clock);
});

test('an expired identity is enrolled anew where there is somebody in this process to do it', async (t) => {
  const clock = testClock();
  const double = signingDouble(clock, hour);
  const identity = double.identity({ notBefore: clock.now() - hour, notAfter: clock.now() - 1 });
  const renew: Renew = () => Promise.reject(new Error('never asked'));
  const rotation = startRotation({
    identity,
    renew,
    reEnrol: renewInProcess(double),
    clock,
    log: noLog,
    meter: noMeter,
  });
  t.after(() => rotation.stop());
  await until(() => rotation.stats().renewals === 1, clock);
  assert.equal(rotation.stats().failures, 0);
});

test('a renewal is on disk before it is used, and somebody else’s renewal is taken over', async (t) => {
  const directory = join(await mkdtemp(join(tmpdir(), 'identity-')), 'payments');
  t.after(() => rm(join(directory, '..'), { recursive: true, force: true }));
  const clock = testClock();
  const onDisk: string[] = [];
  const { rotation, double, asked } = rotating(t, {
    clock,
    directory,
    onSwap: async () => void onDisk.push((await readIdentity(directory)).svid.serialHex),
  });
  await rotation.renewNow();
  assert.deepEqual(onDisk, [rotation.svid().serialHex]);
  await clock.advance(1000);
  const renewedByHand: Identity = { ...double.identity(), ca: 'https://127.0.0.1:8440' };
  await writeIdentity(directory, renewedByHand);
  await rotation.renewNow();
  assert.equal(rotation.svid().serialHex, renewedByHand.svid.serialHex);
  assert.equal(asked.length, 1);
  // What is there but does not prove itself, or is another's, is passed over.
  const foreign = testCa({ name: 'foreign', at: clock.now() }).svid(paymentsId, {
    notAfter: clock.now() + 9 * hour,
  });
  const { makeSvid } = await import('@countersign/spiffe');
  await writeIdentity(directory, {
    ...renewedByHand,
    svid: makeSvid(foreign.chain, foreign.privateKey),
  });
  await rotation.renewNow();
  assert.equal(asked.length, 2);
  assert.equal((await readIdentity(directory)).svid.serialHex, rotation.svid().serialHex);
});

test('of two identities the one that was issued later is taken, however long each lasts', async (t) => {
  const directory = join(await mkdtemp(join(tmpdir(), 'identity-')), 'payments');
  t.after(() => rm(join(directory, '..'), { recursive: true, force: true }));
  const clock = testClock();
  const before = signingDouble(clock, 9 * hour).identity();
  await clock.advance(1000);
  const { rotation, asked } = rotating(t, { clock, directory });
  await clock.advance(1000);
  const anew = signingDouble(clock, hour / 2).identity();
  await writeIdentity(directory, anew);
  await rotation.renewNow();
  assert.equal(rotation.svid().serialHex, anew.svid.serialHex);
  assert.equal(asked.length, 0);
  await writeIdentity(directory, before);
  await rotation.renewNow();
  assert.notEqual(rotation.svid().serialHex, before.svid.serialHex);
  assert.equal(asked.length, 1);
});

test('a disk that takes nothing does not let a working service expire', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'identity-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await writeFile(join(directory, 'key.pem'), 'of somebody else');
  const { rotation, identity, logged } = rotating(t, { directory });
  await rotation.renewNow();
  assert.notEqual(rotation.svid().serialHex, identity.svid.serialHex);
  assert.ok(
    logged.some((line) => line.startsWith('error renewed in memory alone')),
    logged.join(),
  );
});

test('renewals asked for together are one, listeners that throw harm nobody, and stop ends it', async (t) => {
  const { clock, rotation, asked, logged } = rotating(t, {
    onSwap: () => {
      throw new Error('swap listener broke');
    },
  });
  let changes = 0;
  rotation.onChange(() => {
    throw new Error('listener broke');
  });
  rotation.onChange(() => {
    changes += 1;
  });
  await Promise.all([rotation.renewNow(), rotation.renewNow(), rotation.renewNow()]);
  assert.deepEqual([asked.length, changes], [1, 1]);
  assert.ok(logged.some((line) => line.includes('swap listener broke')));
  await rotation.stop();
  await clock.advance(hour);
  assert.equal(asked.length, 1);
  assert.equal(clock.sleeping, 0);
  await assert.rejects(rotation.renewNow(), { code: 'ERR_IDENTITY_STOPPED', message: /stopped/ });
});

test('a schedule out of range is refused', () => {
  const clock = testClock();
  const double = signingDouble(clock);
  const base = {
    identity: double.identity(),
    renew: renewInProcess(double),
    clock,
    log: noLog,
    meter: noMeter,
  };
  for (const wrong of [
    { fraction: 0 },
    { fraction: 1 },
    { fraction: Number.NaN },
    { jitter: 0.6 },
    { jitter: -1 },
  ]) {
    assert.throws(() => startRotation({ ...base, ...wrong }), { code: 'ERR_USAGE' });
  }
});

test('a renewal is planned inside the lifetime, a retry never past its end', () => {
  const unit = fc.double({ min: 0, max: 0.999, noNaN: true });
  fc.assert(
    fc.property(
      fc.nat(1e12),
      fc.integer({ min: 1000, max: 1e10 }),
      unit,
      unit,
      (from, length, part, random) => {
        const fraction = Math.max(0.01, part);
        const at = renewalTime(
          { from, notAfter: from + length },
          { fraction, jitter: fraction / 2 },
          () => random,
        );
        assert.ok(at >= from && at < from + length);
      },
    ),
  );
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 201, max: 1e9 }),
      unit,
      (failures, left, random) => {
        const wait = retryWaitMs(failures, left, { minMs: 1000, maxMs: 300_000 }, () => random);
        assert.ok(wait >= 100 && wait <= 300_000 && wait < left);
      },
    ),
  );
});

test('over real TLS, certificates of three seconds are renewed without a gap', async (t) => {
  const authority = await httpsDouble();
  t.after(() => authority.close());
  authority.ttlMs = 3000;
  const identity = await enrol({ url: authority.url, token: authority.token, clock: systemClock });
  // Of a minute and three seconds, since notBefore is set back: it is due at once, and then after half of three.
  const rotation = startRotation({
    identity,
    renew: renewOverMtls({ url: authority.url, clock: systemClock }),
    clock: systemClock,
    log: noLog,
    meter: noMeter,
  });
  t.after(() => rotation.stop());
  await until(() => {
    assert.ok(rotation.svid().notAfter > systemClock.now());
    return rotation.stats().renewals === 2;
  });
  assert.equal(rotation.stats().failures, 0);
});

function logTo(lines: string[]): Log {
  const log: Log = {
    debug: (_, message) => lines.push(`debug ${message}`),
    info: (_, message) => lines.push(`info ${message}`),
    warn: (_, message) => lines.push(`warn ${message}`),
    error: (_, message) => lines.push(`error ${message}`),
    child: () => log,
  };
  return log;
}

function meterTo(values: Map<string, number>): Meter {
  const key = (name: string, labels: object = {}) => [name, ...Object.values(labels)].join(' ');
  return {
    counter: ({ name }) => ({
      add: (by = 1, labels = {}) =>
        values.set(key(name, labels), (values.get(key(name, labels)) ?? 0) + by),
    }),
    gauge: ({ name }) => ({ set: (value, labels) => values.set(key(name, labels), value) }),
    histogram: () => ({ observe: () => {} }),
  };
}
