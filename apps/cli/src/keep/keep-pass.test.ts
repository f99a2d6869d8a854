import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { noLog, systemClock } from '@countersign/base';
import type { LiveSource } from '@countersign/identity';
import { formatBundleDocument, makeBundle, makeSvid, type TrustBundle } from '@countersign/spiffe';
import { type TestCa, testCa } from '@countersign/testkit';
import type { BatchRequest, BatchResponse } from '@countersign/wire';
import {
  certificatesFromPem,
  extension,
  parseCertificate,
  parseCertificateRequest,
  signCertificate,
} from '@countersign/x509';
import { parseKeepConfig } from './keep-config.ts';
import { type KeepTools, keepPass, renewalOf } from './keep-pass.ts';
import { OtherIssuers } from './kept-source.ts';

const keeperId = 'spiffe://example.com/keeper';
const entry = `certificates: [{ name: web, spiffe_id: "spiffe://example.com/web", key: { rotate: false } }]`;

test('a trust bundle that grows is written, and a root that is retired has certificates ordered anew', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'countersign-keep-'));
  t.after(() => rm(directory, { recursive: true }));
  const { certificates } = parseKeepConfig(entry, join(directory, 'keep.yaml'));
  const [old, next] = [testCa({ at: systemClock.now() }), testCa({ at: systemClock.now() })];
  const world = { signer: old, bundle: makeBundle('example.com', [old.root]), orders: 0 };
  const tools = toolsOf(world);
  const look = async () => (await keepPass(certificates, tools))[0];
  const bundle = async () =>
    certificatesFromPem(await readFile(join(directory, 'web/bundle.pem'), 'utf8')).length;

  assert.equal((await look())?.did, 'ordered');
  assert.equal((await look())?.did, 'nothing');
  const key = await readFile(join(directory, 'web/key.pem'), 'utf8');

  world.bundle = makeBundle('example.com', [old.root, next.root]);
  world.signer = next;
  const grown = await look();
  assert.deepEqual([grown?.did, grown?.reason], ['written', 'the trust bundle has changed']);
  assert.equal(await bundle(), 2);

  world.bundle = makeBundle('example.com', [next.root]);
  const retired = await look();
  assert.equal(retired?.did, 'ordered');
  assert.match(retired?.reason ?? '', /^under the trust bundle of now: /);
  assert.equal(await bundle(), 1);
  assert.equal((await look())?.did, 'nothing');
  assert.equal(world.orders, 2);
  assert.equal(await readFile(join(directory, 'web/key.pem'), 'utf8'), key);
});

test('a certificate that holds for longer than its entry asks for says so at each look', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'countersign-keep-'));
  t.after(() => rm(directory, { recursive: true }));
  const short = entry.replace('key:', 'ttl: 10m, key:');
  const { certificates } = parseKeepConfig(short, join(directory, 'keep.yaml'));
  const ca = testCa({ at: systemClock.now() });
  const tools = toolsOf({ signer: ca, bundle: makeBundle('example.com', [ca.root]), orders: 0 });
  for (const did of ['ordered', 'nothing']) {
    const [report] = await keepPass(certificates, tools);
    assert.equal(report?.did, did);
    assert.match(report?.longer ?? '', /^it holds for .*, asked for were 10m$/);
  }
});

test('a certificate is renewed a third before its end, never before half of its life, never all at once', () => {
  const [kept] = parseKeepConfig(entry, '/etc/keep.yaml').certificates;
  assert.ok(kept !== undefined);
  const ca = testCa({ at: 0 });
  const at = (serial: number, renewBeforeMs?: number) => {
    const { certificate, privateKey } = ca.svid('spiffe://example.com/web', {
      ...{ notBefore: 0, notAfter: 900_000 },
      serial: Uint8Array.of(1, ...new Array<number>(4).fill(serial)),
    });
    const bundle = makeBundle('example.com', [ca.root]);
    const obtained = { chain: [certificate] as const, privateKey, bundle, obtainedAt: 0 };
    return renewalOf({ ...kept, renewBeforeMs }, obtained);
  };
  assert.equal(at(0), 600_000);
  assert.ok(at(255) < at(0) && at(255) >= 570_000);
  assert.equal(at(255, 800_000), 450_000);
});

interface World {
  signer: TestCa;
  bundle: TrustBundle;
  orders: number;
}

function toolsOf(world: World): KeepTools {
  const keeper: LiveSource = {
    svid() {
      const { chain, privateKey } = world.signer.svid(keeperId);
      return makeSvid(chain, privateKey);
    },
    bundle: () => world.bundle,
    onChange: () => () => {},
  };
  const authority = { issueBatch: (request: BatchRequest) => answer(world, request) };
  const { signal } = new AbortController();
  const others = new OtherIssuers();
  return { cli: { env: {} }, authority, keeper, others, clock: systemClock, log: noLog, signal };
}

/** As an authority would, without policy. */
async function answer(world: World, { orders }: BatchRequest): Promise<BatchResponse> {
  const { signer: ca, bundle } = world;
  const results = await Promise.all(
    orders.map(async ({ csr, spiffeId = '' }) => {
      world.orders += 1;
      const { spki } = parseCertificateRequest(csr);
      const now = systemClock.now();
      const leaf = parseCertificate(
        await signCertificate(
          {
            ...{ issuer: ca.root.subject, subject: ca.root.subject, spki },
            serial: Uint8Array.of(1, ...randomBytes(15)),
            ...{ notBefore: now - 1000, notAfter: now + 3_600_000 },
            extensions: [
              extension.basicConstraints(),
              extension.keyUsage(['digitalSignature']),
              extension.extKeyUsage(['serverAuth', 'clientAuth']),
              extension.subjectAltName([{ kind: 'uri', value: spiffeId }], true),
            ],
          },
          ca.signer,
        ),
      );
      const { serialHex: serial, notAfter, raw } = leaf;
      return { ok: true as const, spiffeId, serial, notAfter, chain: [raw] };
    }),
  );
  return { results, bundle: JSON.parse(formatBundleDocument(bundle)), trustDomain: 'example.com' };
}
