import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { RevocationStatus } from '@countersign/spiffe';
import { type TestCa, type TestClock, testCa, testClock } from '@countersign/testkit';
import { buildCrl, type Certificate, type CrlTemplate, extension } from '@countersign/x509';
import type { RevocationConfig } from '../checking/revocation-config.ts';
import {
  openFor,
  peerOf,
  pointing,
  type RevocationServer,
  root,
  startRevocationServer,
  trustDomain,
  until,
} from '../checking/revocation-world.suite.ts';

const hour = 3_600_000;
const idOf = (name: string) => `spiffe://${trustDomain}/${name}`;

interface World {
  readonly server: RevocationServer;
  readonly issuing: TestCa;
  readonly clock: TestClock;
  readonly alice: ReturnType<TestCa['svid']>;
  /** Puts a list of the issuing CA at /services.crl. */
  publish(revoked: readonly Certificate[], more?: Partial<CrlTemplate>): Promise<Uint8Array>;
  open(config?: Partial<RevocationConfig>): ReturnType<typeof openFor>['checks'];
}

/** An intermediate with a list at the root's address, and a peer with one at its own. */
async function startWorld(t: TestContext): Promise<World> {
  const clock = testClock(Date.now());
  const server = await startRevocationServer(t, root);
  const issuing = root.intermediate(pointing(server, { crl: '/root.crl' }));
  const alice = issuing.svid(idOf('alice'), pointing(server, { crl: '/services.crl' }));
  server.lists.set('/root.crl', await listOf(root, [], { nextUpdate: clock.now() + 20 * hour }));
  const publish: World['publish'] = async (revoked, more) => {
    const list = await listOf(issuing, revoked, { thisUpdate: clock.now() - 1000, ...more });
    server.lists.set('/services.crl', list);
    return list;
  };
  await publish([]);
  const open: World['open'] = (config = {}) =>
    openFor(t, { method: ['crl'], ...config }, { clock }).checks;
  return { server, issuing, clock, alice, publish, open };
}

const scoped = (point: Parameters<typeof extension.issuingDistributionPoint>[0]) => ({
  extensions: [extension.issuingDistributionPoint(point)],
});

let number = 0n;

async function listOf(
  by: Pick<TestCa, 'signer' | 'certificate'>,
  revoked: readonly Certificate[],
  more: Partial<CrlTemplate> = {},
): Promise<Uint8Array> {
  number += 1n;
  return buildCrl({
    ...{ signer: by.signer, issuer: by.certificate.subject, crlNumber: number },
    authorityKeyId: by.certificate.subjectKeyId,
    thisUpdate: Date.now() - 1000,
    nextUpdate: Date.now() + hour,
    entries: revoked.map(({ serialHex }) => ({
      ...{ serialHex, date: Date.now() - 5000, reason: 'keyCompromise' },
    })),
    ...more,
  });
}

test('a peer is asked about once, however many wait for it, and not again while its lists hold', async (t) => {
  const { server, alice, open } = await startWorld(t);
  const checks = open();
  const peer = peerOf(alice);
  assert.equal(checks.check(peer).status, 'unknown');
  const letGo = server.hold();
  const waiting = [peer, peerOf(alice), peerOf(alice)].map((each) => checks.prepare(each, met));
  letGo();
  await Promise.all(waiting);
  assert.deepEqual([...server.asked].sort(), ['/root.crl', '/services.crl']);
  assert.equal(checks.prepare(peerOf(alice), met), undefined);
  assert.deepEqual(checks.check(peer), { status: 'good' });
});

test('whoever is on a list is revoked, and whoever is issued by one who is', async (t) => {
  const { server, issuing, alice, publish, open } = await startWorld(t);
  const bob = issuing.svid(idOf('bob'), pointing(server, { crl: '/services.crl' }));
  await publish([alice.certificate]);
  const checks = open();
  assert.equal((await look(checks, bob)).status, 'good');
  const revoked = await look(checks, alice);
  assert.ok(revoked.status === 'revoked');
  assert.deepEqual([revoked.by, revoked.reason], ['serial', 'keyCompromise']);
  assert.match(revoked.toldBy ?? '', /^on a revocation list of "CN=test intermediate/);
  server.lists.set('/root.crl', await listOf(root, [issuing.certificate]));
  const later = await look(open(), bob);
  assert.ok(later.status === 'revoked');
  assert.match(later.toldBy ?? '', /of "CN=test root", as its issuer "CN=test intermediate/);
});

test('a fresh list that has a peer tells of it, and an unchanged one costs an empty answer', async (t) => {
  const { server, clock, alice, publish, open } = await startWorld(t);
  const first = await publish([]);
  let unchanged = 0;
  server.lists.set('/services.crl', (request, response) => {
    response.setHeader('etag', '"1"');
    if (request.headers['if-none-match'] !== '"1"') return void response.end(first);
    unchanged += 1;
    response.writeHead(304).end();
  });
  const checks = open({ crl: { refresh: 60_000 } });
  const peer = peerOf(alice);
  await checks.prepare(peer, met);
  let told = 0;
  checks.onChange(() => {
    told += 1;
  });
  assert.equal(checks.check(peer).status, 'good');
  await clock.advance(61_000);
  await until(() => unchanged >= 1);
  assert.equal(told, 0);
  await publish([alice.certificate]);
  await clock.advance(61_000);
  await until(() => told >= 1);
  assert.equal(checks.check(peer).status, 'revoked');
});

test('what is not a list of the issuer leaves its peers unknown, with the reason', async (t) => {
  const { server, clock, issuing, alice, open } = await startWorld(t);
  const foreign = testCa({ name: 'test intermediate 1' });
  const now = clock.now();
  const cases: [Uint8Array, RegExp][] = [
    [await listOf(foreign, []), /is not signed by the key of "CN=test intermediate/],
    [await listOf(root, []), /may be revoked: no revocation list that was given is about it/],
    [Buffer.from('<html>'), /is no revocation list: /],
    [new Uint8Array(), /is no revocation list: /],
    [await listOf(issuing, [], { thisUpdate: now + 120_000 }), /is from the future/],
    [await listOf(issuing, [], { nextUpdate: now - 2000 }), /was due for an update at/],
    [
      await listOf(issuing, [], scoped({ uris: ['http://elsewhere/x.crl'] })),
      /no revocation list that was given is about it/,
    ],
    [
      await listOf(issuing, [], scoped({ onlyContainsCaCerts: true })),
      /no revocation list that was given is about it/,
    ],
  ];
  for (const [list, reason] of cases) {
    server.lists.set('/services.crl', list);
    const status = await look(open(), alice);
    assert.ok(status.status === 'unknown', reason.source);
    assert.match(status.detail, reason);
  }
  server.lists.delete('/services.crl');
  const missing = await look(open(), alice);
  assert.match(missing.status === 'unknown' ? missing.detail : '', /status 404, expected 200/);
});

test('a list in PEM is read, and one whose issuer is a little ahead of us', async (t) => {
  const { server, clock, issuing, alice, open } = await startWorld(t);
  const list = await listOf(issuing, [], { thisUpdate: clock.now() + 30_000 });
  const body = Buffer.from(list).toString('base64').replace(/.{64}/g, '$&\n');
  const pem = `-----BEGIN X509 CRL-----\n${body}\n-----END X509 CRL-----\n`;
  server.lists.set('/services.crl', Buffer.from(pem));
  assert.equal((await look(open(), alice)).status, 'good');
});

test('of several addresses of one list the first that answers is taken', async (t) => {
  const { server, issuing, open } = await startWorld(t);
  const crlUris = [`${server.url}/gone.crl`, 'ldap://x/y', `${server.url}/services.crl`];
  const bob = issuing.svid(idOf('bob'), { crlUris });
  assert.equal((await look(open(), bob)).status, 'good');
  assert.deepEqual(server.asked.sort(), ['/gone.crl', '/root.crl', '/services.crl']);
});

test('a certificate that names no list, or one that must not be asked, is unknown', async (t) => {
  const { issuing, open } = await startWorld(t);
  const cases: [string[] | undefined, RegExp][] = [
    [undefined, /names no revocation list at an http address/],
    [['https://crl.test/x.crl', 'ldap://crl.test/'], /names no revocation list at an http address/],
    [['http://10.0.0.1/x.crl'], /10\.0\.0\.1 is no public address/],
  ];
  for (const [crlUris, reason] of cases) {
    const bob = issuing.svid(idOf('bob'), crlUris === undefined ? {} : { crlUris });
    const status = await look(open(), bob);
    assert.match(status.status === 'unknown' ? status.detail : status.status, reason);
  }
});

test('a list that is over is used for as long as the operator allows, then everybody is unknown', async (t) => {
  const { server, clock, alice, publish, open } = await startWorld(t);
  await publish([], { nextUpdate: clock.now() + hour });
  const strict = open();
  const patient = open({ maxStale: 2 * hour });
  const [first, second] = [peerOf(alice), peerOf(alice)];
  await Promise.all([strict.prepare(first, met), patient.prepare(second, met)]);
  let told = 0;
  strict.onChange(() => {
    told += 1;
  });
  server.lists.delete('/services.crl');
  // A machine that slept: only the wall clock has moved.
  clock.step(hour + 2000);
  await clock.advance(1000);
  assert.equal(strict.check(first).status, 'unknown');
  assert.equal(told, 1);
  assert.equal(patient.check(second).status, 'good');
  clock.step(2 * hour);
  assert.equal(patient.check(second).status, 'unknown');
  // And a clock that is set back makes nothing younger.
  await clock.advance(4 * hour);
  clock.step(-7 * hour);
  assert.equal(patient.check(second).status, 'unknown');
});

test('a list that is too old still tells who was revoked, but for a hold', async (t) => {
  const { server, clock, issuing, alice, publish, open } = await startWorld(t);
  const held = issuing.svid(idOf('held'), pointing(server, { crl: '/services.crl' }));
  const date = clock.now() - 5000;
  await publish([], {
    entries: [
      { serialHex: alice.certificate.serialHex, date, reason: 'superseded' },
      { serialHex: held.certificate.serialHex, date, reason: 'certificateHold' },
    ],
  });
  const checks = open();
  const [revoked, onHold] = [peerOf(alice), peerOf(held)];
  await checks.prepare(revoked, met);
  await checks.prepare(onHold, met);
  assert.equal(checks.check(onHold).status, 'revoked');
  server.lists.delete('/services.crl');
  clock.step(3 * hour);
  assert.equal(checks.check(revoked).status, 'revoked');
  assert.equal(checks.check(onHold).status, 'unknown');
});

test('neither an older list nor a forged one displaces what is known', async (t) => {
  const { server, clock, issuing, alice, publish, open } = await startWorld(t);
  const old = await publish([]);
  await publish([alice.certificate]);
  const checks = open({ crl: { refresh: 60_000 } });
  const peer = peerOf(alice);
  await checks.prepare(peer, met);
  const forged = await listOf({ ...testCa(), certificate: issuing.certificate }, []);
  for (const body of [old, forged, Buffer.from('garbage')]) {
    const before = server.asked.length;
    server.lists.set('/services.crl', body);
    await clock.advance(121_000);
    await until(() => server.asked.length > before);
    assert.equal(checks.check(peer).status, 'revoked');
  }
});

test('a peer without news costs no second validation, and one of other lists neither', async (t) => {
  const { server, clock, issuing, alice, publish, open } = await startWorld(t);
  const checks = open({ crl: { refresh: 60_000 } });
  const peer = peerOf(alice);
  await checks.prepare(peer, met);
  const first = checks.check(peer);
  const bob = issuing.svid(idOf('bob'), pointing(server, { crl: '/services.crl' }));
  await publish([bob.certificate]);
  await clock.advance(61_000);
  await until(() => reported(checks).some(({ entries }) => entries === 1));
  // The very same answer: it was carried over, not concluded again.
  assert.equal(checks.check(peer), first);
  assert.equal((await look(checks, bob)).status, 'revoked');
});

test('a delta is taken into account wherever one is announced, and is never needed', async (t) => {
  const { server, clock, issuing, publish, open } = await startWorld(t);
  const bob = issuing.svid(
    idOf('bob'),
    pointing(server, { crl: '/services.crl', delta: '/delta.crl' }),
  );
  const complete = await publish([]);
  assert.ok(complete.byteLength > 0);
  const checks = open();
  assert.equal((await look(checks, bob)).status, 'good');
  assert.ok(server.asked.includes('/delta.crl'));
  const base = number;
  server.lists.set(
    '/delta.crl',
    await listOf(issuing, [bob.certificate], {
      ...{ thisUpdate: clock.now() - 500, extensions: [extension.deltaCrlIndicator(base)] },
    }),
  );
  assert.equal((await look(open(), bob)).status, 'revoked');
});

test('lists that the operator names are asked instead, for certificates of several issuers', async (t) => {
  const { server, clock, open } = await startWorld(t);
  const [first, second] = [root.intermediate(), root.intermediate()];
  const [bob, carol] = [first.svid(idOf('bob')), second.svid(idOf('carol'))];
  const later = { thisUpdate: clock.now() - 100 };
  server.lists.set('/first.crl', await listOf(first, [], later));
  server.lists.set('/second.crl', await listOf(second, [carol.certificate], later));
  const urls = ['/root.crl', '/first.crl', '/second.crl'].map((path) => server.url + path);
  const checks = open({ crl: { urls } });
  assert.equal((await look(checks, bob)).status, 'good');
  assert.equal((await look(checks, carol)).status, 'revoked');
  assert.equal((await look(checks, first.svid(idOf('dave')))).status, 'good');
});

test('with scope "leaf" the lists of the CAs are not asked', async (t) => {
  const { server, alice, open } = await startWorld(t);
  server.lists.delete('/root.crl');
  assert.equal((await look(open(), alice)).status, 'unknown');
  server.asked.length = 0;
  assert.equal((await look(open({ scope: 'leaf' }), alice)).status, 'good');
  assert.deepEqual(server.asked, ['/services.crl']);
});

test('a server that is down is not asked again for every peer, and is found again by itself', async (t) => {
  const { server, clock, issuing, alice, publish, open } = await startWorld(t);
  server.lists.delete('/services.crl');
  const checks = open();
  assert.equal((await look(checks, alice)).status, 'unknown');
  const asked = server.asked.length;
  for (let i = 0; i < 20; i += 1) {
    const other = issuing.svid(idOf(`w${i}`), pointing(server, { crl: '/services.crl' }));
    assert.equal(checks.prepare(peerOf(other), met), undefined);
  }
  assert.equal(server.asked.length, asked);
  await publish([]);
  await clock.advance(3000);
  await until(() => checks.check(peerOf(alice)).status === 'good');
});

test('a peer in the grace of its end is judged by newer lists too', async (t) => {
  const { server, clock, issuing, publish, open } = await startWorld(t);
  const brief = issuing.svid(idOf('brief'), {
    ...pointing(server, { crl: '/services.crl' }),
    notAfter: clock.now() + 10_000,
  });
  const checks = open({ crl: { refresh: 60_000 } });
  const peer = peerOf(brief);
  await checks.prepare(peer, met);
  await clock.advance(20_000);
  assert.equal(checks.check(peer).status, 'good');
  await publish([brief.certificate], { thisUpdate: clock.now() });
  let told = 0;
  checks.onChange(() => {
    told += 1;
  });
  await clock.advance(61_000);
  await until(() => told > 0);
  assert.equal(checks.check(peer).status, 'revoked');
});

test('what nobody asks about any more is forgotten, and what an open connection needs is not', async (t) => {
  const { clock, alice, open } = await startWorld(t);
  const checks = open({ crl: { refresh: 5 * 60_000 } });
  const peer = peerOf(alice);
  await checks.prepare(peer, met);
  const end = checks.onChange(() => void checks.check(peer));
  const lists = () => reported(checks).length;
  for (let minute = 0; minute < 40; minute += 1) await clock.advance(60_000);
  assert.equal(lists(), 2);
  end();
  for (let minute = 0; minute < 20; minute += 1) await clock.advance(60_000);
  assert.equal(lists(), 0);
});

function reported(checks: ReturnType<World['open']>) {
  const { lists } = checks.report().methods.crl as { lists: { entries?: number }[] };
  return lists;
}

const met = { purpose: 'client' } as const;

async function look(
  checks: ReturnType<World['open']>,
  credential: Parameters<typeof peerOf>[0],
): Promise<RevocationStatus> {
  const peer = peerOf(credential);
  await checks.prepare(peer, met);
  return checks.check(peer);
}
