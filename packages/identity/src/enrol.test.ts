import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type CountersignError, systemClock } from '@countersign/base';
import {
  formatBundleDocument,
  makeBundle,
  staticBundles,
  staticSvid,
  verifyPeer,
} from '@countersign/spiffe';
import { type TestCredential, testCa } from '@countersign/testkit';
import { revealJoinToken } from '@countersign/wire';
import { encodePem, formatKeyKind, keyKindOf } from '@countersign/x509';
import { httpsDouble, paymentsId, refuse } from './authority-double.suite.ts';
import {
  authorityClient,
  type EnrolOptions,
  enrol,
  expectAuthority,
  parseAuthorityUrl,
  readIdentity,
  renewOnce,
  renewOverMtls,
} from './index.ts';

type Cleanup = { after(f: () => Promise<void>): void };

async function authority(t: Cleanup, options: Parameters<typeof httpsDouble>[0] = {}) {
  const double = await httpsDouble(options);
  t.after(() => double.close());
  const ask = (more: Partial<EnrolOptions> = {}) =>
    enrol({
      url: double.url,
      token: revealJoinToken(double.token),
      clock: systemClock,
      timeoutMs: 3000,
      ...more,
    });
  return { double, ask };
}

async function directoryFor(t: Cleanup): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'identity-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'payments');
}

test('a token alone enrols: root learnt, authority proved, key made here, files written', async (t) => {
  const { double, ask } = await authority(t);
  const out = await directoryFor(t);
  const identity = await ask({ out });
  assert.equal(identity.svid.spiffeId.toString(), paymentsId);
  assert.equal(identity.ca, double.url);
  assert.deepEqual(double.seen, [
    { path: '/v1/bundle.pem', peer: 'anonymous', hadToken: false },
    { path: '/v1/enrol', peer: 'anonymous', hadToken: true },
  ]);
  const read = await readIdentity(out);
  assert.equal(read.svid.serialHex, identity.svid.serialHex);
  assert.equal(read.ca, double.url);
  assert.equal((await stat(join(out, 'key.pem'))).mode & 0o777, 0o600);
});

test('the key is of the kind that was asked for, and a fingerprint that agrees is welcome', async (t) => {
  const { double, ask } = await authority(t);
  const { svid } = await ask({
    keyKind: { type: 'Ed25519' },
    fingerprint: double.fingerprint.toUpperCase(),
  });
  const kind = keyKindOf(svid.leaf.spki);
  assert.equal(kind && formatKeyKind(kind), 'Ed25519');
});

test('a fingerprint that disagrees with the token ends it before anything is sent', async (t) => {
  const { double, ask } = await authority(t);
  await assert.rejects(ask({ fingerprint: '00'.repeat(32) }), (thrown: CountersignError) => {
    assert.equal(thrown.code, 'ERR_IDENTITY_PIN');
    assert.ok(thrown.message.includes('0000') && thrown.message.includes(double.fingerprint));
    return true;
  });
  assert.deepEqual(double.seen, []);
});

test('an authority with another root never gets the token, whatever root it claims', async (t) => {
  const { double, ask } = await authority(t);
  const foreign = testCa({ name: 'foreign' }).root;
  // 1. it says honestly that it has another root
  double.anchors = encodePem('CERTIFICATE', foreign.raw);
  await assert.rejects(ask(), { code: 'ERR_IDENTITY_ROOT' });
  double.anchors = 'not a certificate';
  await assert.rejects(ask(), { code: 'ERR_IDENTITY_ROOT' });
  // 2. it claims the pinned root, but its own certificate does not lead to it
  const liar = await httpsDouble();
  t.after(() => liar.close());
  liar.anchors = encodePem('CERTIFICATE', double.ca.root.raw);
  await assert.rejects(ask({ url: liar.url }), { code: 'ERR_PATH_SIGNATURE' });
  for (const { hadToken } of [...double.seen, ...liar.seen]) assert.equal(hadToken, false);
});

test('what is refused leaves no directory behind, and in one that was there before nothing new', async (t) => {
  const { double, ask } = await authority(t);
  const home = join(await directoryFor(t), '..');
  double.anchors = 'not a certificate';
  await assert.rejects(ask({ out: join(home, 'a', 'b') }), { code: 'ERR_IDENTITY_ROOT' });
  assert.deepEqual(await readdir(home), []);
  await mkdir(join(home, 'there'));
  await assert.rejects(ask({ out: join(home, 'there') }), { code: 'ERR_IDENTITY_ROOT' });
  assert.deepEqual(await readdir(home, { recursive: true }), ['there']);
});

test('a workload under the same root cannot pose as the authority', async (t) => {
  const server = (ca: ReturnType<typeof testCa>) =>
    ca.svid('spiffe://example.com/ns/prod/sa/mallory', { ip: ['127.0.0.1'] });
  const { double, ask } = await authority(t, { server });
  await assert.rejects(ask(), { code: 'ERR_IDENTITY_AUTHORITY' });
  assert.ok(double.seen.every(({ hadToken }) => !hadToken));
});

test('an authority is known by its SPIFFE ID, and by no name of its host', () => {
  const ca = testCa();
  const bundle = makeBundle('example.com', [ca.root]);
  const answers = (leaf: TestCredential, trustDomain?: string) => {
    const result = verifyPeer({
      chain: leaf.chain,
      bundles: staticBundles(bundle),
      at: systemClock.now(),
      purpose: 'server',
      profile: 'any',
    });
    assert.ok(result.ok);
    const judged = expectAuthority(trustDomain)(result.peer);
    return judged.ok ? 'ok' : judged.code;
  };
  const own = ca.svid('spiffe://example.com/countersign/ca');
  const named = ca.leaf({ dns: ['ca.example'], ip: ['127.0.0.1'] });
  assert.equal(answers(own), 'ok');
  assert.equal(answers(own, 'example.com'), 'ok');
  assert.equal(answers(own, 'other.example'), 'ERR_IDENTITY_AUTHORITY');
  assert.equal(answers(named), 'ERR_IDENTITY_AUTHORITY');
  assert.equal(answers(named, 'example.com'), 'ERR_IDENTITY_AUTHORITY');
});

test('what was issued otherwise than asked is refused and not written', async (t) => {
  const { double, ask } = await authority(t);
  const out = await directoryFor(t);
  const other = double.identity({ id: 'spiffe://example.com/other' });
  const foreign = testCa({ name: 'foreign' });
  const cases: [string, RegExp, (typeof double)['mutate'], Partial<EnrolOptions>?][] = [
    [
      'key',
      /private key does not belong/,
      (r) => ({ ...r, chain: other.svid.chain.map((c) => c.raw) }),
    ],
    [
      'name',
      /SPIFFE ID is "spiffe:.*payments", expected "spiffe:.*billing"/,
      (r) => r,
      { spiffeId: 'spiffe://example.com/billing' },
    ],
    ['serial', /serial is "1"/, (r) => ({ ...r, serial: '1' })],
    ['end', /notAfter is/, (r) => ({ ...r, notAfter: r.notAfter + 1 })],
    [
      'root',
      /pinned is/,
      (r) => ({
        ...r,
        bundle: JSON.parse(formatBundleDocument(makeBundle('example.com', [foreign.root]))),
      }),
    ],
    ['chain', /check the issued certificate/, (r) => ({ ...r, chain: r.chain.slice(0, 1) })],
    [
      'trust domain',
      /trust domain is "other.example"/,
      (r) => ({ ...r, trustDomain: 'other.example' }),
    ],
  ];
  for (const [name, message, mutate, more] of cases) {
    double.mutate = mutate;
    await assert.rejects(ask({ out, ...more }), { code: 'ERR_IDENTITY_RESPONSE', message }, name);
  }
  double.mutate = (r) => r;
  double.ttlMs = -1000;
  await assert.rejects(ask({ out }), { code: 'ERR_IDENTITY_RESPONSE', message: /expired/ });
  assert.equal(existsSync(out), false);
});

test('a directory that cannot take the files is found before the token is spent', async (t) => {
  const { double, ask } = await authority(t);
  const out = await directoryFor(t);
  await writeFile(out, 'a file');
  await assert.rejects(ask({ out }), { code: 'ERR_DESTINATION' });
  await rm(out);
  await mkdir(out);
  await writeFile(join(out, 'key.pem'), 'of somebody else');
  await assert.rejects(ask({ out }), {
    code: 'ERR_IDENTITY_FILES',
    message: /key.pem" is there already/,
  });
  assert.deepEqual(double.seen, []);
  assert.equal(await readFile(join(out, 'key.pem'), 'utf8'), 'of somebody else');
});

test('an authority that refuses, breaks off, stalls or is away is told apart, without the token', async (t) => {
  const { double, ask } = await authority(t);
  const secret = revealJoinToken(double.token).split('.')[2] ?? '';
  type Answer = NonNullable<typeof double.answer>;
  const at =
    (where: string, then: (response: Parameters<Answer>[1]) => unknown): Answer =>
    (path, response) => {
      if (path === where) then(response);
      return path === where;
    };
  const cases: [string, Answer][] = [
    ['ERR_WIRE_MESSAGE', at('/v1/enrol', refuse)],
    ['ERR_WIRE_UNREACHABLE', at('/v1/enrol', (response) => response.destroy())],
    ['ERR_TIMEOUT', at('/v1/enrol', () => {})],
    ['ERR_TIMEOUT', at('/v1/bundle.pem', () => {})],
    ['ERR_WIRE_ROUTE', at('/v1/bundle.pem', (response) => response.writeHead(404).end())],
  ];
  for (const [code, answer] of cases) {
    double.answer = answer;
    await assert.rejects(
      ask({ timeoutMs: code === 'ERR_TIMEOUT' ? 300 : 5000 }),
      (thrown: CountersignError) => {
        assert.equal(thrown.code, code, thrown.message);
        assert.ok(!`${thrown.stack} ${JSON.stringify(thrown)}`.includes(secret));
        return true;
      },
    );
  }
  await double.close();
  await assert.rejects(ask(), { code: 'ERR_WIRE_UNREACHABLE' });
});

test('an authority’s address is an https origin and nothing else', () => {
  assert.deepEqual(parseAuthorityUrl('https://[::1]:8440/'), {
    origin: 'https://[::1]:8440',
    host: '::1',
    port: 8440,
    isAddress: true,
  });
  for (const url of [
    '127.0.0.1:8440',
    'http://a',
    'https://a/v1',
    'https://u:p@a',
    'https://a?x',
    '',
  ]) {
    assert.throws(() => parseAuthorityUrl(url), { code: 'ERR_IDENTITY_URL' }, url);
  }
});

test('a renewal shows the current certificate and gets a new key for the same names', async (t) => {
  const { double, ask } = await authority(t);
  const current = await ask();
  const renew = renewOverMtls({ url: double.url, clock: systemClock });
  const signal = AbortSignal.timeout(5000);
  const next = await renewOnce({ current, renew, clock: systemClock, signal });
  assert.deepEqual(double.seen.at(-1), { path: '/v1/renew', peer: paymentsId, hadToken: false });
  assert.notEqual(next.svid.serialHex, current.svid.serialHex);
  assert.ok(!next.svid.privateKey.equals(current.svid.privateKey));
  assert.equal(next.ca, double.url);
  double.mutate = (r) => ({ ...r });
  const other: typeof renew = ({ csr }) => double.issue(csr, 'spiffe://example.com/other');
  await assert.rejects(renewOnce({ current, renew: other, clock: systemClock, signal }), {
    code: 'ERR_IDENTITY_RESPONSE',
    message: /names is "uri:spiffe:\/\/example.com\/other", expected "uri:.*payments"/,
  });
});

test('the feed streams over the same transport, frame by frame, and lets go when its reader leaves', async (t) => {
  const { double, ask } = await authority(t);
  const { svid, bundle } = await ask();
  const client = authorityClient({
    url: double.url,
    svids: staticSvid(svid),
    bundles: staticBundles(bundle),
    trustDomain: 'example.com',
    clock: systemClock,
  });
  const types: string[] = [];
  for await (const frame of client.feed({ after: 0, instance: 'instance-1' })) {
    types.push(frame.type);
    if (frame.type === 'heartbeat') break;
  }
  assert.deepEqual(types, ['hello', 'heartbeat']);
  const stopping = new AbortController();
  const reason = new Error('stopped');
  await assert.rejects(async () => {
    for await (const _ of client.feed({
      after: 0,
      instance: 'instance-1',
      signal: stopping.signal,
    })) {
      stopping.abort(reason);
    }
  }, reason);
});

test('another trust domain’s authority is not ours, even under a trusted root', async (t) => {
  const server = (ca: ReturnType<typeof testCa>) =>
    ca.svid('spiffe://other.example/countersign/ca');
  const { double } = await authority(t, { server });
  const { svid, bundle } = double.identity();
  const bundles = staticBundles(bundle, makeBundle('other.example', [double.ca.root]));
  const client = authorityClient({
    url: double.url,
    svids: staticSvid(svid),
    bundles,
    trustDomain: 'example.com',
    clock: systemClock,
  });
  await assert.rejects(client.status(), { code: 'ERR_IDENTITY_AUTHORITY' });
});
