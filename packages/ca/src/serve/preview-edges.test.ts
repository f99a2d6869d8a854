import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { type FeedFrame, feedDialect } from '@countersign/wire';
import { type TestApi, testApi } from '../../test/api-under-test.ts';
import { FeedHub } from './feed-hub.ts';

const orders = 'spiffe://example.com/ns/prod/sa/orders';
const edge = 'spiffe://example.com/ns/edge/sa/gateway';

describe('what a dry run asks the gateways', () => {
  let api: TestApi;
  before(async () => {
    api = await testApi({ feed: { heartbeatMs: 20 } });
  });
  after(() => api.close());

  it('is asked of those who hold leases, and not told to whom it is about', async () => {
    const operator = await api.operator();
    const gateway = api.client(await api.enrol(edge));
    const spy = api.client(await api.enrol(orders));
    const hold = { release: false, instance: 'gateway-1', maxSilenceMs: 60_000 } as const;
    const query = { after: 0, instance: hold.instance, reads: feedDialect };
    const [asked, overheard] = [gateway.feed(query), spy.feed(query)];
    await Promise.all([asked.next(), overheard.next()]);
    await gateway.lease({ ...hold, position: 0 });
    const order = { by: 'spiffe-id', value: orders, reason: 'superseded', block: false } as const;
    const answering = (async () => {
      for await (const frame of asked) {
        if (frame.type !== 'question') continue;
        await gateway.lease({ ...hold, position: 0, answers: [{ id: frame.id, wouldClose: 3 }] });
        return;
      }
    })();
    const preview = await operator.revoke({ ...order, dryRun: true, waitMs: 30_000 });
    await answering;
    assert.equal(preview.wouldClose, 3);
    // The stream says in order what there is to say: what comes next would be the question.
    const heard: FeedFrame['type'][] = [];
    while (!heard.includes('revocation')) {
      const { value } = await overheard.next();
      if (value !== undefined) heard.push(value.type);
      if (heard.length === 1) {
        await operator.revoke({ ...order, value: `${orders}/other`, dryRun: false, waitMs: 0 });
      }
    }
    assert.equal(heard.includes('question'), false);
    await overheard.return();
  });

  it('is bounded: of many at once the last are told that they are too many', async () => {
    const { ledger } = api.authority;
    const hub = new FeedHub({ ledger, clock: systemClock, log: noLog, meter: noMeter });
    const stop = new AbortController();
    const wait = { waitMs: 60_000, clock: systemClock, signal: stop.signal };
    const of = new Map([['gateway-1', edge]]);
    const asking = Array.from({ length: 17 }, (_, i) =>
      hub.questions.ask({ id: `${i}`, lines: '', of }, wait, () => {}),
    );
    assert.equal(await asking.pop(), undefined);
    assert.equal([...hub.questions.of(edge, 'gateway-1')].length, 16);
    assert.equal([...hub.questions.of(orders, 'gateway-1')].length, 0);
    stop.abort();
    for (const answers of await Promise.all(asking)) assert.equal(answers?.size, 0);
    hub.close();
  });
});
