import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createJoinToken, formatEnrolRequest, type JoinToken } from '@countersign/wire';
import {
  exchange,
  newRequest,
  type TestApi,
  type TestIdentity,
  testApi,
} from '../../test/api-under-test.ts';

const orders = 'spiffe://example.com/ns/prod/sa/orders';
const hour = 3_600_000;
const headers = { 'content-type': 'application/json' };

describe('a refusal of the api', () => {
  let api: TestApi;
  before(async () => {
    api = await testApi({ guesses: { burst: 2, refillMs: 60_000 } });
  });
  after(() => api.close());

  it('tells who holds the token what is wrong with its own request', async () => {
    const token = await newToken();
    const { csr } = await newRequest();
    const long = await enrol(formatEnrolRequest({ token, csr, ttlMs: 100 * hour }));
    assert.equal(long.code, 'ERR_POLICY_TTL');
    assert.match(long.detail, /100h.*24h/);
    const none = await enrol(formatEnrolRequest({ token, csr, ttlMs: 0 }));
    assert.equal(none.code, 'ERR_WIRE_MESSAGE');
    assert.match(none.detail, /ttlMs/);
    const noRequest = await enrol(formatEnrolRequest({ token, csr: Uint8Array.of(1, 2, 3) }));
    assert.match(noRequest.detail, /read the certificate request/);
    // None of these spent it.
    await api.client().enrol({ token, csr });
    const spent = await enrol(formatEnrolRequest({ token, csr, ttlMs: 100 * hour }));
    assert.deepEqual([spent.code, spent.detail], ['ERR_TOKEN_SPENT', undefined]);
    const spentAndNone = await enrol(formatEnrolRequest({ token, csr, ttlMs: 0 }));
    assert.equal(spentAndNone.detail, undefined);
  });

  it('tells a peer what is wrong with its own request, and nothing else', async () => {
    const identity = await api.enrol(orders);
    const { csr } = await newRequest();
    const long = await renew(
      { csr: Buffer.from(csr).toString('base64'), ttlMs: 100 * hour },
      identity,
    );
    assert.equal(long.code, 'ERR_POLICY_TTL');
    assert.match(long.detail, /100h/);
    const none = await renew({ csr: Buffer.from(csr).toString('base64'), ttlMs: 0 }, identity);
    assert.match(none.detail, /ttlMs/);
    const feed = await ask('GET', '/v1/feed?after=99999&instance=gateway-1', '', identity);
    assert.equal(feed.detail, undefined);
  });

  it('tells a stranger nothing of it, and counts its tokens as guesses', async () => {
    const { csr } = await newRequest();
    const { rootFingerprint } = await newToken();
    const wrong = createJoinToken((size) => new Uint8Array(size), rootFingerprint);
    for (let i = 0; i < 2; i += 1) {
      const refused = await enrol(formatEnrolRequest({ token: wrong, csr, ttlMs: 0 }));
      assert.deepEqual([refused.code, refused.detail], ['ERR_WIRE_MESSAGE', undefined]);
    }
    const token = await newToken();
    const throttled = await enrol(formatEnrolRequest({ token, csr }));
    assert.deepEqual([throttled.code, throttled.detail], ['ERR_API_GUESSES', undefined]);
  });

  async function newToken(): Promise<JoinToken> {
    const operator = await api.operator();
    return (await operator.createToken({ spiffeId: orders, dns: [], ip: [] })).token;
  }

  const enrol = (body: string) => ask('POST', '/v1/enrol', body);
  const renew = (body: object, identity: TestIdentity) =>
    ask('POST', '/v1/renew', JSON.stringify(body), identity);

  async function ask(method: string, path: string, body: string, identity?: TestIdentity) {
    const { text } = await exchange(api, {
      method,
      path,
      headers,
      body,
      ...(identity === undefined ? {} : { identity }),
    });
    return JSON.parse(text);
  }
});
