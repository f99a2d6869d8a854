import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { type Log, noLog, noMeter, systemClock } from '@countersign/base';
import { parseConfigText, readDocument } from '@countersign/config';
import type { RevocationStatus } from '@countersign/spiffe';
import { testClock } from '@countersign/testkit';
import { z } from 'zod';
import { RevocationChecks } from './revocation-checks.ts';
import { checkRevocationConfig, revocationSchema } from './revocation-config.ts';
import type { MethodName, RevocationMethod } from './revocation-method.ts';
import {
  openFor,
  peerOf,
  pointing,
  root,
  startRevocationServer,
} from './revocation-world.suite.ts';

const alice = peerOf(root.svid('spiffe://example.test/alice'));
const client = { purpose: 'client' } as const;

const answers = {
  good: { status: 'good' },
  unknown: { status: 'unknown', detail: 'silent' },
  refused: { status: 'refused', code: 'ERR_REVOCATION_LIFETIME', detail: 'too long' },
  revoked: { status: 'revoked', by: 'serial', reason: 'superseded', at: 1 },
} satisfies Record<RevocationStatus['status'], RevocationStatus>;

test('of several methods the strictest answer counts, in whatever order', () => {
  const order = ['good', 'unknown', 'refused', 'revoked'] as const;
  for (const first of order) {
    for (const second of order) {
      const expected = order[Math.max(order.indexOf(first), order.indexOf(second))];
      const checks = checksOf([saying('crl', answers[first]), saying('ocsp', answers[second])]);
      assert.equal(checks.check(alice).status, expected);
    }
  }
});

test('an admission waits for all methods together, but no longer than it may', async () => {
  let isThere = false;
  const slow: RevocationMethod = {
    ...saying('crl', answers.good),
    async prepare() {
      await new Promise((resolve) => setTimeout(resolve, 20));
      isThere = true;
    },
  };
  const never: RevocationMethod = {
    ...saying('ocsp', answers.unknown),
    prepare: () => new Promise(() => {}),
  };
  const breaks: RevocationMethod = {
    ...saying('staple', answers.unknown),
    prepare: () => Promise.reject(new Error('defect')),
  };
  assert.equal(checksOf([saying('feed', answers.good)]).prepare(alice, client), undefined);
  await checksOf([slow, breaks], { waitMs: 5000 }).prepare(alice, client);
  assert.ok(isThere);
  const startedAt = performance.now();
  await checksOf([slow, never], { waitMs: 40 }).prepare(alice, client);
  assert.ok(performance.now() - startedAt < 20_000);
});

test('failing open is loud: at the start, with each peer now and then, and on the status page', () => {
  const clock = testClock();
  const lines: string[] = [];
  const log: Log = {
    ...noLog,
    warn: (_, message) => lines.push(`warn ${message}`),
    error: ({ times }, message) => lines.push(`error ${times} ${message}`),
  };
  const unknown = saying('crl', answers.unknown);
  const checks = checksOf([unknown], { onUnknown: 'allow', clock, log });
  for (let i = 0; i < 5; i += 1) assert.equal(checks.check(alice).status, 'unknown');
  clock.advance(10_000);
  assert.deepEqual(lines, [
    'warn revocation fails open: peers are let in even when nobody knows if they are revoked',
    'error 1 revocation failed open: silent',
  ]);
  const report = checks.report();
  assert.equal(report.onUnknown, 'allow');
  assert.equal(report.failedOpen?.times, 5);
  const closed = checksOf([unknown], { log });
  closed.check(alice);
  assert.equal(lines.length, 2);
  assert.equal(closed.report().failedOpen, undefined);
});

test('a certificate that lasts too long is refused where short ones stand in for revocation', (t) => {
  const { checks } = openFor(t, { method: ['lifetime'], maxLifetime: 3_600_000 });
  const now = Date.now();
  const lasting = (ms: number) =>
    peerOf(
      root.svid('spiffe://example.test/x', {
        notBefore: now - 60_000,
        notAfter: now - 60_000 + ms,
      }),
    );
  assert.equal(checks.check(lasting(3_600_000)).status, 'good');
  const long = checks.check(lasting(3_601_000));
  assert.ok(long.status === 'refused');
  assert.match(long.detail, /lasts 1h1s, at most 1h are let in/);
  assert.deepEqual(checks.report().methods, { lifetime: { maxLifetime: '1h' } });
});

test('a silent server holds up an admission as long as configured, and it is unknown then', async (t) => {
  const server = await startRevocationServer(t, root);
  const bob = peerOf(root.svid('spiffe://example.test/bob', pointing(server, { ocsp: true })));
  const letGo = server.hold();
  const { checks } = openFor(t, { method: ['ocsp'], wait: 30 });
  const startedAt = performance.now();
  await checks.prepare(bob, client);
  assert.ok(performance.now() - startedAt < 20_000);
  assert.equal(checks.check(bob).status, 'unknown');
  const [second] = [checks.prepare(bob, client)];
  letGo();
  await second;
  assert.equal(checks.check(bob).status, 'good');
});

test('what the chosen method does not use is refused by name, as is what is out of range', () => {
  const cases: [yaml: string, message: RegExp | undefined][] = [
    ['{}', undefined],
    ['{ method: feed, maxSilence: 2m }', undefined],
    ['{ method: [crl, ocsp, lifetime], maxLifetime: 1h, maxStale: 1h, scope: leaf }', undefined],
    ['{ method: feed, stapleOwn: true, ocsp: { url: "http://ocsp.test" } }', undefined],
    [
      '{ method: feed, maxStale: 1h }',
      /^a\.yaml:1:29: revocation\.maxStale: is for crl, ocsp, staple, chosen is feed/,
    ],
    ['{ method: crl, ocsp: { nonce: true } }', /revocation\.ocsp: is for ocsp, staple, stapleOwn/],
    ['{ method: lifetime, fetch: {} }', /revocation\.fetch: is for/],
    ['{ method: feed, maxSilence: 1ms }', /maxSilence: 1ms, at least 1s is needed/],
    ['{ method: feed, maxSilence: 8d }', /maxSilence: at most 168h may be allowed/],
    ['{ method: crl, crl: { refresh: 0s } }', /crl\.refresh: 0ms, at least 1s is needed/],
    ['{ method: crl, crl: { urls: ["https://x/"] } }', /expected a plain http address/],
    [
      '{ method: crl, fetch: { allow: [10.0.0.1/8] } }',
      /expected a network such as 10\.0\.0\.0\/8/,
    ],
    ['{ method: [crl, oscp] }', /nearest is "ocsp"/],
    ['{ method: [] }', /method/],
    ['{ onUnknown: alow }', /nearest is "allow"/],
  ];
  for (const [yaml, message] of cases) {
    const parse = () => {
      const document = parseConfigText(`revocation: ${yaml}`, 'a.yaml');
      const { revocation } = readDocument(
        z.strictObject({ revocation: revocationSchema }),
        document,
      );
      checkRevocationConfig(document, ['revocation'], revocation);
    };
    if (message === undefined) parse();
    else assert.throws(parse, { exit: 2, message }, yaml);
  }
});

test('the example in the documentation is a configuration', async () => {
  const path = new URL('../../../../docs/revocation.md', import.meta.url);
  const [, yaml = ''] = /```yaml\n(.*?)```/s.exec(await readFile(path, 'utf8')) ?? [];
  const document = parseConfigText(yaml, 'docs/revocation.md');
  const { revocation } = readDocument(z.strictObject({ revocation: revocationSchema }), document);
  checkRevocationConfig(document, ['revocation'], revocation);
  assert.deepEqual(revocation.method, ['crl', 'lifetime']);
});

function saying(name: MethodName, status: RevocationStatus): RevocationMethod {
  return { name, check: () => status, report: () => ({}) };
}

function checksOf(
  methods: readonly RevocationMethod[],
  more: Partial<ConstructorParameters<typeof RevocationChecks>[0]> = {},
): RevocationChecks {
  return new RevocationChecks({
    ...{
      methods,
      onUnknown: 'refuse',
      waitMs: 1000,
      clock: systemClock,
      log: noLog,
      meter: noMeter,
    },
    ...more,
  });
}
