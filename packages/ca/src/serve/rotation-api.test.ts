import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { bundleDigest, parseBundleDocument } from '@countersign/spiffe';
import type { HelloFrame } from '@countersign/wire';
import { fingerprintOf } from '@countersign/x509';
import {
  identityOf,
  newRequest,
  type TestApi,
  type TestIdentity,
  testApi,
} from '../../test/api-under-test.ts';

const late = 'spiffe://example.com/ns/prod/sa/late';

describe('the root, replaced over the API', () => {
  let api: TestApi;
  let workload: TestIdentity;
  before(async () => {
    api = await testApi();
    workload = await api.enrol('spiffe://example.com/ns/prod/sa/payments');
  });
  after(() => api.close());

  const bundle = async () => parseBundleDocument(await api.client().bundle(), 'example.com');
  const hello = async (): Promise<HelloFrame> => {
    const frames = api.client(workload).feed({ after: 0, instance: 'test-instance' });
    for await (const frame of frames) if (frame.type === 'hello') return frame;
    throw new Error('no hello');
  };

  it('is told to streams that are open: they end, and the next is greeted with both roots', async () => {
    const operator = await api.operator();
    const one = fingerprintOf((await bundle()).authorities[0]!);
    const frames = api.client(workload).feed({ after: 0, instance: 'other-instance' });
    const first = await frames.next();
    assert.deepEqual(first.value?.type === 'hello' && first.value.anchors, [one]);
    const ended = (async () => {
      for await (const _ of frames);
    })();
    const answer = await operator.rotate({ step: 'prepare', authority: 'root' });
    assert.deepEqual([answer.done, answer.state], [true, 'prepared']);
    assert.equal(answer.anchors.length, 2);
    await ended;
    assert.deepEqual((await hello()).anchors, answer.anchors);
  });

  it('waits for holders of the bundle, who say what they have over mTLS', async () => {
    const operator = await api.operator();
    const laggard = await api.enrol(late);
    const holds = bundleDigest(await bundle());
    await api.client(workload).bundle({ holds });
    const refused = operator.rotate({ step: 'activate', authority: 'root' });
    await assert.rejects(refused, { code: 'ERR_ROTATION_UPTAKE', message: /late" lack it/ });
    const { uptake } = await operator.rotate({ step: 'show', authority: 'root' });
    assert.deepEqual(
      uptake?.lacking.map(({ name }) => name),
      [late],
    );
    await api.client(laggard).bundle({ holds });
    const answer = await operator.rotate({ step: 'activate', authority: 'root' });
    assert.deepEqual([answer.done, answer.state], [true, 'active']);
    assert.equal(api.authority.rootFingerprint, answer.anchors[1]);
  });

  it('serves whoever trusts the old root alone, and renews what was issued before', async () => {
    const { csr, key } = await newRequest();
    const renewed = identityOf(await api.client(workload).renew({ csr }), key);
    assert.equal(renewed.response.chain.length, 4);
    await api.client(renewed).status();
  });

  it('says so to nobody but the operator, and refuses what it does not know', async () => {
    const step = { step: 'show', authority: 'root' } as const;
    await assert.rejects(api.client(workload).rotate(step), { code: 'ERR_WIRE_REFUSED' });
    const operator = await api.operator();
    await assert.rejects(operator.rotate({ ...step, authority: 'elsewhere' }), {
      code: 'ERR_ROTATION_NAME',
    });
    await assert.rejects(api.client(workload).bundle({ holds: 'everything' }), {
      code: 'ERR_WIRE_MESSAGE',
    });
  });

  it('keeps the old root trusted until nothing leads to it', async () => {
    const operator = await api.operator();
    const retire = { step: 'retire', authority: 'root' } as const;
    await assert.rejects(operator.rotate(retire), {
      code: 'ERR_ROTATION_LIVE',
      message: /payments" until 20/,
    });
    const answer = await operator.rotate({ ...retire, force: true });
    assert.equal(answer.state, 'steady');
    const now = parseBundleDocument(await operator.bundle(), 'example.com');
    assert.deepEqual(now.authorities.map(fingerprintOf), answer.anchors);
    assert.equal(now.sequence, 3);
  });
});
