import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type Log, noLog, noMeter } from '@countersign/base';
import { testCa, testClock } from '@countersign/testkit';
import {
  extension,
  keySigner,
  parseCertificate,
  parseCertificateRequest,
  signCertificate,
} from '@countersign/x509';
import type { Issuer } from './issuer.ts';
import { openIssued } from './open-issued.ts';

const hour = 3_600_000;
const payments = 'spiffe://example.com/ns/prod/sa/payments';
const orders = 'spiffe://example.com/ns/prod/sa/orders';

async function world(t: TestContext) {
  const clock = testClock();
  const ca = testCa({ at: clock.now() - hour });
  const signer = keySigner(ca.privateKey);
  let serial = 1;
  const issuer: Issuer & { lifetimeMs: number } = {
    title: 'the test authority',
    lifetimeMs: hour,
    async issue({ csr }) {
      const { spki, subjectAltNames } = parseCertificateRequest(csr);
      serial += 1;
      const der = await signCertificate(
        {
          serial: Uint8Array.of(serial),
          ...{ issuer: ca.root.subject, subject: ca.root.subject, spki },
          notBefore: clock.now(),
          notAfter: clock.now() + issuer.lifetimeMs,
          extensions: [
            extension.subjectAltName(subjectAltNames),
            extension.keyUsage(['digitalSignature']),
          ],
        },
        signer,
      );
      return { chain: [parseCertificate(der)], roots: [ca.root] };
    },
  };
  const warned: string[] = [];
  const log: Log = { ...noLog, warn: (_, message) => void warned.push(message) };
  const open = async (spiffeId: string, more: { directory?: string; ttlMs?: number } = {}) => {
    const names = { spiffeId, dns: [], ip: [] };
    const live = await openIssued({ issuer, names, clock, log, meter: noMeter, ...more });
    t.after(() => live.stop());
    return live;
  };
  return { issuer, open, warned };
}

test('the identity of another SPIFFE ID is not written over, and the way out is said', async (t) => {
  const { open } = await world(t);
  const directory = await mkdtemp(join(tmpdir(), 'issued-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const first = await open(payments, { directory });
  await first.stop();
  const key = await readFile(join(directory, 'key.pem'), 'utf8');
  await assert.rejects(open(orders, { directory }), {
    code: 'ERR_DESTINATION',
    message: `write identity to "${directory}": it holds "${payments}", to be written is "${orders}"`,
    hint: /^choose another directory, or move that one away/,
  });
  assert.equal(await readFile(join(directory, 'key.pem'), 'utf8'), key);
  const again = await open(payments, { directory });
  assert.equal(again.svid().serialHex, first.svid().serialHex);
});

test('a lifetime longer than was asked for is taken, told at each certificate, and shown', async (t) => {
  const { issuer, open, warned } = await world(t);
  const live = await open(payments, { ttlMs: hour });
  assert.deepEqual([warned, live.stats().longerThanAsked], [[], undefined]);
  issuer.lifetimeMs = 720 * hour;
  await live.renewNow();
  const longer = 'it holds for 720h, asked for were 1h';
  assert.deepEqual(warned, [`certificate of the test authority: ${longer}`]);
  assert.equal(live.stats().longerThanAsked, longer);
  issuer.lifetimeMs = hour;
  await live.renewNow();
  assert.equal(live.stats().longerThanAsked, undefined);
  const unasked = await open(payments);
  assert.equal(unasked.stats().longerThanAsked, undefined);
});
