import assert from 'node:assert/strict';
import { request as httpsRequest } from 'node:https';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import {
  type Clock,
  CountersignError,
  type Meter,
  noLog,
  noMeter,
  systemClock,
} from '@countersign/base';
import type { AuthorityClient, FeedFrame, RevocationFrame } from '@countersign/wire';
import { encodePem } from '@countersign/x509';
import { caYaml, type TestApi, type TestIdentity, testApi } from '../../test/api-under-test.ts';
import { parseCaConfig } from '../ca-config.ts';
import { ephemeralAuthority } from '../ephemeral-authority.ts';
import type { Ledger, RevocationRecord } from '../ledger/ledger.ts';
import { memoryLedger } from '../ledger/memory-ledger.ts';
import { FeedHub } from './feed-hub.ts';
import { cursorAt } from './feed-pages.ts';

const orders = 'spiffe://example.com/ns/prod/sa/orders';
const edge = 'spiffe://example.com/ns/edge/sa/gateway';

describe('revocation feed', () => {
  let api: TestApi;
  let gateway: TestIdentity;
  let client: AuthorityClient;
  const stop = new AbortController();

  beforeEach(async () => {
    api = await testApi({ feed: { heartbeatMs: 50, maxStreamsEach: 3, slowReaderMs: 100 } });
    gateway = await api.enrol(edge);
    client = api.client(gateway);
  });
  afterEach(() => api.close());
  after(() => stop.abort());

  const asGateway = (path: string) => ({
    ...{ host: '127.0.0.1', port: api.server.port, path, agent: false as const },
    ca: encodePem('CERTIFICATE', api.authority.root.raw),
    ...{ cert: gateway.cert, key: gateway.key },
  });

  async function revoke(value: string): Promise<RevocationRecord> {
    const outcome = await api.authority.ledger.revoke({
      by: 'spiffe-id',
      value,
      reason: 'superseded',
      orderedBy: 'operator',
    });
    assert.ok(outcome.ok);
    return outcome.record;
  }

  it('begins with a hello, then the backlog after the cursor, then what happens, then heartbeats', async () => {
    const first = await revoke(`${orders}/1`);
    const second = await revoke(`${orders}/2`);
    const frames = client.feed({ after: first.position, instance: 'gateway-1' });
    const hello = await next(frames);
    assert.deepEqual(hello, {
      type: 'hello',
      trustDomain: 'example.com',
      anchors: [api.authority.rootFingerprint],
      position: second.position,
      heartbeatMs: 50,
    });
    assert.equal((await nextRevocation(frames)).position, second.position);
    const third = await revoke(`${orders}/3`);
    const live = await nextRevocation(frames);
    assert.deepEqual(live, {
      type: 'revocation',
      position: third.position,
      previous: second.position,
      by: 'spiffe-id',
      value: `${orders}/3`,
      reason: 'superseded',
      at: third.at,
    });
    const beat = await next(frames);
    assert.equal(beat.type, 'heartbeat');
    assert.equal(beat.position, third.position);
    await frames.return();
  });

  it('ends a stream rather than say that nothing happened while the ledger is away', async () => {
    const state: { failure?: CountersignError } = {};
    const ledger = memoryLedger({ clock: systemClock });
    Object.defineProperty(ledger, 'failure', { get: () => state.failure });
    const config = parseCaConfig(caYaml, 'ca.yaml');
    const authority = await ephemeralAuthority({ config, clock: systemClock, ledger });
    const own = await testApi({ authority, feed: { heartbeatMs: 20 } });
    try {
      const frames = own.client(await own.enrol(edge)).feed({ after: 0, instance: 'gateway-1' });
      await next(frames);
      assert.equal((await next(frames)).type, 'heartbeat');
      state.failure = new CountersignError('ERR_LEDGER_UNAVAILABLE', 'the database is away');
      const rest: FeedFrame[] = [];
      for await (const frame of frames) rest.push(frame);
      assert.ok(rest.length <= 1, `${rest.length} frames more`);
    } finally {
      await own.close();
    }
  });

  it('gives every reader each revocation once and in order, whenever it joins', async () => {
    const total = 300;
    const readers = Array.from({ length: 3 }, async (_, index) => {
      await wait(index * 5);
      const seen: RevocationFrame[] = [];
      const frames = client.feed({ after: 0, instance: `gateway-${index}` });
      while (seen.length < total) seen.push(await nextRevocation(frames));
      await frames.return();
      return seen;
    });
    const writing = Array.from({ length: total }, async (_, index) => {
      await wait(index % 20);
      await revoke(`${orders}/${index}`);
    });
    await Promise.all(writing);
    for (const seen of await Promise.all(readers)) {
      let previous = 0;
      for (const frame of seen) {
        assert.equal(frame.previous, previous);
        previous = frame.position;
      }
    }
  });

  it('refuses a reader that knows more than the ledger, and a query that it does not understand', async () => {
    const ahead = client.feed({ after: 99, instance: 'gateway-1' }).next();
    await assert.rejects(ahead, { code: 'ERR_API_FEED_CURSOR' });
    const short = client.feed({ after: 0, instance: 'x' }).next();
    await assert.rejects(short, { code: 'ERR_WIRE_MESSAGE' });
  });

  it('cuts the stream of an identity that is revoked, and no other', async () => {
    const victim = api.client(await api.enrol(orders));
    const doomed = victim.feed({ after: 0, instance: 'victim-01' });
    const innocent = client.feed({ after: 0, instance: 'gateway-1' });
    await next(doomed);
    await next(innocent);
    const record = await revoke(orders);
    await assert.rejects(async () => {
      for (;;) await next(doomed);
    });
    assert.equal((await nextRevocation(innocent)).position, record.position);
    await revoke(`${orders}/later`);
    assert.equal((await nextRevocation(innocent)).previous, record.position);
    await innocent.return();
  });

  it('ends the stream of a certificate that has ended, however much there is to send', async () => {
    let later = 0;
    const clock = { ...systemClock, now: () => systemClock.now() + later };
    const ageing = await testApi({ clock, feed: { heartbeatMs: 10_000 } });
    try {
      const frames = ageing
        .client(await ageing.enrol(edge))
        .feed({ after: 0, instance: 'old-edge' });
      await next(frames);
      const { ledger } = ageing.authority;
      const order = { by: 'spiffe-id', reason: 'superseded', orderedBy: 'operator' } as const;
      await ledger.revoke({ ...order, value: `${orders}/1` });
      await nextRevocation(frames);
      later = 2 * 3_600_000;
      await ledger.revoke({ ...order, value: `${orders}/2` });
      assert.deepEqual(await frames.next(), { value: undefined, done: true });
    } finally {
      await ageing.close();
    }
  });

  it('reads a page once for everybody, and remembers the pages of strange cursors no longer than it must', async () => {
    const { ledger } = api.authority;
    let reads = 0;
    const counting = {
      onCommit: () => () => {},
      revocationsAfter(position: number, limit: number) {
        reads += 1;
        return ledger.revocationsAfter(position, limit);
      },
    };
    const hub = new FeedHub({
      ...{ ledger: { ...ledger, ...counting } as Ledger, clock: systemClock },
      ...{ log: noLog, meter: noMeter },
    });
    await Promise.all([hub.page(cursorAt(0)), hub.page(cursorAt(0))]);
    assert.equal(reads, 1);
    for (let cursor = 1; cursor <= 100; cursor += 1) await hub.page(cursorAt(cursor));
    await hub.page(cursorAt(100));
    assert.equal(reads, 101);
    await hub.page(cursorAt(0));
    assert.equal(reads, 102);
    hub.close();
  });

  it('bounds the streams of one identity, and lets an instance replace its own', async () => {
    const streams = ['gateway-1', 'gateway-2', 'gateway-3'].map((instance) =>
      client.feed({ after: 0, instance }),
    );
    for (const stream of streams) await next(stream);
    const fourth = client.feed({ after: 0, instance: 'gateway-4' }).next();
    await assert.rejects(fourth, { code: 'ERR_API_FEED_LIMIT' });
    const told = await new Promise<string | undefined>((resolve, reject) => {
      const asked = httpsRequest(asGateway('/v1/feed?after=0&instance=gateway-5'), (response) => {
        response.resume();
        resolve(response.headers['retry-after']);
      });
      asked.on('error', reject).end();
    });
    assert.equal(told, '10');
    const again = client.feed({ after: 0, instance: 'gateway-1' });
    await next(again);
    // The earlier stream of that instance has ended by itself.
    const [replaced] = streams;
    const rest: FeedFrame[] = [];
    for await (const frame of replaced!) rest.push(frame);
    assert.ok(rest.every((frame) => frame.type === 'heartbeat'));
    for (const stream of [...streams, again]) await stream.return();
  });

  it('drops a reader that takes nothing, and keeps the others', async () => {
    const long = 'x'.repeat(1900);
    for (let i = 0; i < 8000; i += 1) await revoke(`${orders}/${i}/${long}`);
    const stuck = httpsRequest(asGateway('/v1/feed?after=0&instance=gateway-stuck'));
    stuck.on('error', () => {});
    stuck.on('response', (response) => response.pause());
    stuck.end();
    const frames = client.feed({ after: 0, instance: 'gateway-1' });
    for (let i = 0; i < 8000; i += 1) await nextRevocation(frames);
    while (!api.lines.some((line) => line.message === 'feed stream broke')) await next(frames);
    await frames.return();
    stuck.destroy();
  });

  it('ends its streams in good order when the server closes', async () => {
    const frames = client.feed({ after: 0, instance: 'gateway-1' });
    await next(frames);
    await api.server.close(1000);
    for await (const frame of frames) assert.equal(frame.type, 'heartbeat');
  });
});

describe('leases and acknowledgements', () => {
  let api: TestApi;
  let operator: AuthorityClient;
  let gateway: AuthorityClient;
  before(async () => {
    api = await testApi();
    operator = await api.operator();
    gateway = api.client(await api.enrol(edge));
  });
  after(() => api.close());

  const order = {
    by: 'spiffe-id',
    value: orders,
    reason: 'keyCompromise',
    block: false,
    dryRun: false,
  } as const;
  const hold = { release: false, instance: 'gateway-1', maxSilenceMs: 60_000 } as const;

  it('waits no longer than its caller does, and the revocation stands', async () => {
    const own = await testApi();
    try {
      await own.client(await own.enrol(edge)).lease({ ...hold, position: 0 });
      const leaving = new AbortController();
      const committed = Promise.withResolvers<number>();
      own.authority.ledger.onCommit(committed.resolve);
      const asked = (await own.operator()).revoke(
        { ...order, waitMs: 60_000 },
        { signal: leaving.signal },
      );
      const position = await committed.promise;
      leaving.abort();
      await assert.rejects(asked);
      const said = 'revoked, not acknowledged by every gateway yet';
      const deadline = AbortSignal.timeout(30_000);
      while (!own.lines.some(({ message }) => message === said)) {
        deadline.throwIfAborted();
        await wait(5);
      }
      assert.equal((await own.authority.ledger.status()).revocationPosition, position);
    } finally {
      await own.close();
    }
  });

  it('answers a revocation once every live lease has acknowledged, with who closed what', async () => {
    await gateway.lease({ ...hold, position: 0 });
    const frames = gateway.feed({ after: 0, instance: 'gateway-1' });
    await next(frames);
    const asked = operator.revoke({ ...order, waitMs: 10_000 });
    const { position } = await nextRevocation(frames);
    await wait(20);
    const closed = { closed: 7, kept: 5, elapsedMs: 1.5, codes: { ERR_PEER_REVOKED: 7 } };
    await gateway.lease({ ...hold, position, closed });
    const report = await asked;
    await frames.return();
    const [acknowledged] = report.gateways;
    assert.equal(report.gateways.length, 1);
    assert.equal(report.acknowledgedBy, 1);
    assert.equal(report.closed, 7);
    assert.equal(acknowledged?.spiffeId, edge);
    assert.equal(acknowledged?.acknowledged, true);
    assert.ok(report.elapsedMs >= 15 && report.elapsedMs < 30_000, `${report.elapsedMs}`);
  });

  it('says which gateway did not acknowledge in time', async () => {
    const report = await operator.revoke({ ...order, value: `${orders}/2`, waitMs: 60 });
    assert.equal(report.acknowledgedBy, 0);
    assert.deepEqual(
      report.gateways.map(({ id, acknowledged }) => ({ id, acknowledged })),
      [{ id: 'gateway-1', acknowledged: false }],
    );
    assert.ok(report.elapsedMs >= 60);
  });

  it('does not wait for a gateway that released its lease', async () => {
    const asked = operator.revoke({ ...order, value: `${orders}/3`, waitMs: 10_000 });
    await wait(20);
    const released = await gateway.lease({ release: true, instance: 'gateway-1' });
    assert.equal(released.expiresAt, 0);
    const report = await asked;
    assert.deepEqual(report.gateways, []);
    assert.ok(report.elapsedMs < 30_000);
  });

  it('does not give a lease to an identity that is no gateway, nor believe one from the future', async () => {
    const service = api.client(await api.enrol(`${orders}/4`));
    await assert.rejects(service.lease({ ...hold, position: 0 }), { code: 'ERR_API_FORBIDDEN' });
    const future = gateway.lease({ ...hold, position: 10_000 });
    await assert.rejects(future, { code: 'ERR_LEDGER_LEASE' });
  });

  it('counts live gateways, also when one falls silent', async () => {
    const counts: number[] = [];
    const meter: Meter = {
      ...noMeter,
      gauge: ({ name }) => ({
        set: (value) => name === 'countersign_leases' && counts.push(value),
      }),
    };
    let later = 0;
    const clock = {
      ...systemClock,
      now: () => systemClock.now() + later,
      sleep: (ms, options) => systemClock.sleep(ms / 200, options),
    } satisfies Clock;
    const metered = await testApi({ meter, clock });
    try {
      const own = metered.client(await metered.enrol(edge));
      const until = async (count: number) => {
        for (let i = 0; i < 400 && counts.at(-1) !== count; i += 1) await wait(5);
        assert.equal(counts.at(-1), count);
      };
      await own.lease({ ...hold, position: 0 });
      await until(1);
      await own.lease({ release: true, instance: 'gateway-1' });
      await until(0);
      await own.lease({ ...hold, position: 0 });
      await until(1);
      later = 61_000;
      await until(0);
    } finally {
      await metered.close();
    }
  });

  it('shows live gateways in its status', async () => {
    await gateway.lease({ ...hold, instance: 'gateway-9', position: 0 });
    const { gateways } = await operator.status();
    assert.deepEqual(
      gateways.map(({ id, spiffeId }) => ({ id, spiffeId })),
      [{ id: 'gateway-9', spiffeId: edge }],
    );
  });
});

async function next(frames: AsyncGenerator<FeedFrame, void>): Promise<FeedFrame> {
  const { value } = await frames.next();
  assert.ok(value !== undefined, 'the feed ended');
  return value;
}

async function nextRevocation(frames: AsyncGenerator<FeedFrame, void>): Promise<RevocationFrame> {
  for (;;) {
    const frame = await next(frames);
    if (frame.type === 'revocation') return frame;
  }
}
