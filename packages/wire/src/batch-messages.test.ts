import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as wire from './index.ts';

const csr = Uint8Array.of(1, 2, 3);

test('a batch reads back as it was written, wishes and names of each order included', () => {
  const orders: wire.BatchOrder[] = [
    { csr, own: true, dns: [], ip: [] },
    {
      ...{ csr, own: false, spiffeId: 'spiffe://example.com/a', dns: ['a.internal'], ip: [] },
      ...{ ttlMs: 60_000, profile: 'short', issuer: 'production' },
    },
  ];
  const read = wire.parseBatchRequest(JSON.parse(wire.formatBatchRequest({ orders })));
  assert.deepEqual(read, { orders });
});

test('chains are written once for all the certificates of an intermediate', () => {
  const [left, right] = [Uint8Array.of(8), Uint8Array.of(9)];
  const certificate = (leaf: number, above: Uint8Array): wire.BatchIssued => ({
    ...{ ok: true, serial: `0${leaf}`, notAfter: 5, chain: [Uint8Array.of(leaf), above] },
  });
  const response: wire.BatchResponse = {
    results: [
      certificate(1, left),
      { ok: false, id: 'abc', code: 'ERR_POLICY_DNS', detail: 'no' },
      certificate(2, right),
      certificate(3, left),
    ],
    bundle: { keys: [] },
    trustDomain: 'example.com',
  };
  const json = JSON.parse(wire.formatBatchResponse(response));
  assert.deepEqual(json.chains, [{ certificates: ['CA=='] }, { certificates: ['CQ=='] }]);
  assert.deepEqual(wire.parseBatchResponse(json), response);
  json.results[0].chain = 2;
  assert.throws(() => wire.parseBatchResponse(json), { code: 'ERR_WIRE_MESSAGE' });
});
