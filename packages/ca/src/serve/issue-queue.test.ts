import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type Denial, noLog, noMeter } from '@countersign/base';
import { type TestClock, testClock } from '@countersign/testkit';
import { routes } from '@countersign/wire';
import { exchange, newRequest, testApi } from '../../test/api-under-test.ts';
import type { ApiCall } from './api-call.ts';
import type { ApiContext } from './api-context.ts';
import { GuessLimiter } from './guess-limiter.ts';
import { IssueQueue, type QueuedOrder, type Seat } from './issue-queue.ts';
import { handlers } from './route-handlers.ts';

describe('orders at the counter', () => {
  it('are seated at once while there is room, and in turn after that', async () => {
    const { queue } = queueOf({ abreast: 2 });
    const [first] = [await seated(queue), await seated(queue)];
    const order: string[] = [];
    const third = queue.enter().then(() => order.push('third'));
    const fourth = queue.enter().then(() => order.push('fourth'));
    await turn();
    assert.deepEqual(order, []);
    first.leave();
    first.leave();
    await third;
    assert.deepEqual(order, ['third'], 'a seat that is given back twice is one seat');
    void fourth;
  });

  it('of certificates that end soon come before those that waited already', async () => {
    const { queue, clock } = queueOf({ abreast: 1 });
    const first = await seated(queue);
    const order: string[] = [];
    const later = queue.enter({ endsAt: clock.now() + 3_600_000 });
    const soon = queue.enter({ endsAt: clock.now() + 60_000 });
    void later.then(() => order.push('later'));
    void soon.then((seat) => {
      order.push('soon');
      (seat as Seat).leave();
    });
    first.leave();
    await later;
    assert.deepEqual(order, ['soon', 'later']);
  });

  it('that would wait too long are told when their turn is, each another one', async () => {
    const { queue, clock } = queueOf({ abreast: 1, patientMs: 100, hastyMs: 400 });
    await seated(queue);
    const endsAt = clock.now() + 7_200_000;
    const away: number[] = [];
    // 500 a second until it was measured: 50 orders fill 100 ms.
    for (let i = 0; i < 2000; i += 1) {
      const answer = await Promise.race([queue.enter({ key: `${i}`, endsAt }), turn()]);
      if (answer !== undefined) away.push(retryAfterOf(answer));
    }
    assert.ok(away.length >= 1940, `${away.length} were sent away`);
    const inSecond = (second: number) => away.filter((each) => each === second).length;
    assert.ok(inSecond(2) <= 501 && inSecond(3) <= 501, 'no more at a time than can be issued');
    assert.equal(Math.max(...away), 4);
    // One that ends soon is let in all the same; one that cannot wait for its turn is told an earlier time.
    const soon = await Promise.race([queue.enter({ endsAt: clock.now() + 5000 }), turn()]);
    assert.equal(soon, undefined, 'it waits in line');
  });

  it('that come in their turn are let in before those that come for the first time', async () => {
    const { queue, clock } = queueOf({ abreast: 1, patientMs: 0 });
    const first = await seated(queue);
    const endsAt = clock.now() + 7_200_000;
    const told = retryAfterOf(await queue.enter({ key: 'a', endsAt }));
    for (let i = 0; i < 5000; i += 1) retryAfterOf(await queue.enter({ key: `${i}`, endsAt }));
    // Before its turn it is told the rest of the time, and loses nothing.
    assert.equal(retryAfterOf(await queue.enter({ key: '4000', endsAt })), 8);
    await clock.advance(told * 1000);
    const again = queue.enter({ key: 'a', endsAt });
    assert.ok(retryAfterOf(await queue.enter({ key: 'new', endsAt })) >= 9);
    first.leave();
    assert.ok((await again).ok);
  });

  it('are never told to come after their certificate has ended', async () => {
    const { queue, clock } = queueOf({ abreast: 1, patientMs: 0, hastyMs: 0 });
    await seated(queue);
    for (let i = 0; i < 40_000; i += 1) {
      await queue.enter({ key: `${i}`, endsAt: clock.now() + 7_200_000 });
    }
    for (const leftMs of [4000, 60_000, 100_000]) {
      const answer = await queue.enter({ endsAt: clock.now() + leftMs });
      assert.ok(retryAfterOf(answer) * 1000 <= Math.max(1000, leftMs / 2));
    }
    assert.ok(retryAfterOf(await queue.enter()) <= 30);
  });

  it('of nobody who is known again put off no turn of others', async () => {
    const { queue, clock } = queueOf({ abreast: 1, patientMs: 0, hastyMs: 0 });
    await seated(queue);
    for (let i = 0; i < 40_000; i += 1) await queue.enter({ count: 100 });
    const told = retryAfterOf(await queue.enter({ key: 'a', endsAt: clock.now() + 7_200_000 }));
    assert.equal(told, 1);
  });

  it('of one caller fill no more than their share of the line', async () => {
    const { queue } = queueOf({ abreast: 1 });
    const first = await seated(queue);
    const line = Array.from({ length: 16 }, () => queue.serve({ key: 'a' }, () => undefined));
    const further = await Promise.race([queue.enter({ key: 'a' }), turn()]);
    assert.ok(further !== undefined, 'it waits in line');
    assert.equal(retryAfterOf(further), 1);
    assert.match((further as Denial).detail, /^16 orders of this caller are in line, at most 16/);
    const other = queue.enter({ key: 'b' });
    first.leave();
    await Promise.all(line);
    assert.ok((await other).ok, 'others are served');
    const again = queue.enter({ key: 'a' });
    ((await other) as Seat).leave();
    assert.ok((await again).ok, 'and it has its share again');
  });

  it('whose callers have left make way, and nothing is done for them', async () => {
    const { queue } = queueOf({ abreast: 1 });
    const first = await seated(queue);
    const leaving = new AbortController();
    let isDone = false;
    const gone = queue.serve({ left: () => leaving.signal }, () => {
      isDone = true;
    });
    const next = queue.enter();
    leaving.abort();
    first.leave();
    assert.ok((await next).ok);
    assert.equal(((await gone) as Denial).code, 'ERR_API_BUSY');
    assert.equal(isDone, false);
  });

  it('of callers who come and leave are held no longer than they stay', async () => {
    const { queue } = queueOf({ abreast: 1 });
    await seated(queue);
    const answers: WeakRef<object>[] = [];
    for (let i = 0; i < 200; i += 1) {
      const leaving = new AbortController();
      const waiting = queue.enter({ left: () => leaving.signal });
      leaving.abort();
      answers.push(new WeakRef(await waiting));
    }
    await turn();
    setFlagsFromString('--expose-gc');
    runInNewContext('gc')();
    const held = answers.filter((each) => each.deref() !== undefined).length;
    assert.ok(held < 100, `${held} of 200 are held`);
    assert.ok(!(await queue.enter({ left: () => AbortSignal.abort() })).ok, 'the queue goes on');
  });

  it('of callers who had left before are not put in line', async () => {
    const { queue } = queueOf({ abreast: 1 });
    const first = await seated(queue);
    const gone = await queue.enter({ left: () => AbortSignal.abort() });
    assert.ok(!gone.ok);
    assert.equal(gone.code, 'ERR_API_BUSY');
    first.leave();
  });

  it('of a batch count as many as it has certificates, and the first has its place whatever its size', async () => {
    const { queue } = queueOf({ abreast: 1, hastyMs: 1000 });
    const first = await seated(queue);
    const key = 'registrar';
    const waiting = [queue.enter({ key, count: 100 }), queue.enter({ key, count: 100 })];
    await turn();
    // Half of what is issued in a second, at the pace that is believed until it was measured.
    const further = (await queue.enter({ key, count: 100 })) as Denial;
    assert.match(further.detail, /^200 certificates .* with 100 more .* more than 250$/);
    waiting.push(queue.enter({ key, count: 50 }), queue.enter({ key: 'other', count: 251 }));
    first.leave();
    for (const each of waiting) {
      const seat = await each;
      assert.ok(seat.ok);
      seat.leave();
    }
    const again = await queue.enter({ key, count: 100 });
    assert.ok(again.ok, 'what was served is not counted any more');
  });

  it('of one holder that speaks for many take half of a full line, and leave the rest to others', async () => {
    const { queue } = queueOf({ abreast: 1, hastyMs: 100 });
    const first = await seated(queue);
    const holder = 'vault:cluster';
    const waiting = Array.from({ length: 25 }, () => queue.enter({ holder }));
    await turn();
    const further = (await queue.enter({ holder })) as Denial;
    assert.match(
      further.detail,
      /^25 certificates for this caller are in line, with 1 more .* more than 25$/,
    );
    const other = queue.enter({ key: 'a' });
    first.leave();
    for (const each of [...waiting, other]) {
      const seat = await each;
      assert.ok(seat.ok);
      seat.leave();
    }
  });

  it('set the pace: what is done while the counter is full', async () => {
    const { queue, clock } = queueOf({ abreast: 10 });
    let seats = await Promise.all(Array.from({ length: 10 }, () => seated(queue)));
    for (let i = 0; i < 100; i += 1) {
      const waiting = Array.from({ length: 10 }, () => seated(queue));
      await clock.advance(100);
      for (const seat of seats) seat.leave();
      seats = await Promise.all(waiting);
    }
    assert.ok(Math.abs(queue.pacePerSecond - 100) < 15, `${queue.pacePerSecond} a second`);
  });

  it('set no pace by the first of many that end together, nor a tiny one at the beginning', async () => {
    for (const [tookMs, least, most] of [
      [250, 500, 520],
      [10_000, 100, 130],
    ] as const) {
      const { queue, clock } = queueOf({ abreast: 128 });
      const seats = await Promise.all(Array.from({ length: 128 }, () => seated(queue)));
      const waiting = Array.from({ length: 128 }, () => seated(queue));
      await clock.advance(tookMs);
      for (const seat of seats) seat.leave();
      await Promise.all(waiting);
      const pace = queue.pacePerSecond;
      assert.ok(pace >= least && pace <= most, `${pace} a second`);
    }
  });

  it('that were sent away are summed up at the end of each ten seconds, with no more to come', async () => {
    const said: unknown[] = [];
    const warn = (fields: { sentAway?: unknown }) => said.push(fields.sentAway);
    const clock = testClock();
    const limits = { abreast: 0, patientMs: -1, hastyMs: -1 };
    const queue = new IssueQueue({ limits, clock, log: { ...noLog, warn }, meter: noMeter });
    for (let i = 0; i < 5; i += 1) await queue.enter();
    assert.deepEqual(said, [1]);
    await clock.advance(10_000);
    assert.deepEqual(said, [1, 4]);
    await clock.advance(10_000);
    await queue.enter();
    assert.deepEqual(said, [1, 4, 1]);
  });
});

describe('an authority that is asked for more than it can issue', () => {
  it('answers 503 with Retry-After, spends no token, and notes nothing', async () => {
    const api = await testApi({ queue: { abreast: 0, patientMs: -1, hastyMs: -1 } });
    try {
      const operator = await api.operator();
      const { token } = await operator.createToken({
        ...{ spiffeId: 'spiffe://example.com/ns/prod/sa/a', dns: [], ip: [] },
      });
      const { csr } = await newRequest();
      await assert.rejects(api.client().enrol({ token, csr }), (thrown: { fields: object }) => {
        assert.deepEqual(Object.keys(thrown.fields), ['status', 'id', 'retryAfterMs']);
        return true;
      });
      const headers = { 'content-type': 'application/json' };
      const asked = { path: '/v1/enrol', method: 'POST', body: '{}', headers };
      const refused = await exchange(api, asked);
      assert.equal(refused.status, 503);
      assert.match(String(refused.headers['retry-after']), /^\d+$/);
      assert.equal(api.lines.filter(({ message }) => message.startsWith('more orders')).length, 1);
      assert.ok(!api.lines.some(({ message }) => message.startsWith('request failed')));
    } finally {
      await api.close();
    }
  });
});

describe('an address that guesses tokens', () => {
  it('is told so before it takes a place in line', async () => {
    const { queue, clock } = queueOf({ abreast: 0, patientMs: -1, hastyMs: -1 });
    const guesses = new GuessLimiter(clock, { burst: 1 });
    const caller = { kind: 'anonymous', address: '192.0.2.1' };
    const call = { caller, route: routes.enrol, body: Buffer.from('{"token":"cst1.a"}') };
    const ask = () =>
      handlers.enrol({ queue, guesses } as unknown as ApiContext, call as unknown as ApiCall);
    assert.equal(((await ask()) as Denial).code, 'ERR_API_BUSY');
    guesses.failed('192.0.2.1');
    assert.equal(((await ask()) as Denial).code, 'ERR_API_GUESSES');
  });
});

function queueOf(limits: { abreast: number; patientMs?: number; hastyMs?: number }): {
  readonly queue: IssueQueue;
  readonly clock: TestClock;
} {
  const clock = testClock();
  return { clock, queue: new IssueQueue({ limits, clock, log: noLog, meter: noMeter }) };
}

async function seated(queue: IssueQueue, order: QueuedOrder = {}): Promise<Seat> {
  const answer = await queue.enter(order);
  assert.ok(answer.ok);
  return answer;
}

function retryAfterOf(answer: Seat | Denial): number {
  assert.ok(!answer.ok);
  assert.equal(answer.code, 'ERR_API_BUSY');
  return Number(answer.fields.retryAfterS);
}

function turn(): Promise<undefined> {
  return new Promise((resolve) => setImmediate(() => resolve(undefined)));
}
