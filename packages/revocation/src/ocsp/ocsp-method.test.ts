import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { ChangeSignal, makeSvid, type RevocationStatus } from '@countersign/spiffe';
import { testCa, testClock } from '@countersign/testkit';
import { buildCrl, extension } from '@countersign/x509';
import type { RevocationConfig } from '../checking/revocation-config.ts';
import {
  openFor,
  peerOf,
  pointing,
  root,
  startRevocationServer,
  trustDomain,
  until,
} from '../checking/revocation-world.suite.ts';

const hour = 3_600_000;
const idOf = (name: string) => `spiffe://${trustDomain}/${name}`;
const client = { purpose: 'client' } as const;
const revoked = { status: 'revoked', at: Date.now() - 60_000, reason: 'keyCompromise' } as const;

/** A responder of the root, and a peer below it. */
async function startWorld(t: TestContext) {
  const clock = testClock(Date.now());
  const server = await startRevocationServer(t, root);
  server.ocsp.thisUpdate = () => clock.now() - 1000;
  server.ocsp.nextUpdate = () => clock.now() + hour;
  const alice = root.svid(idOf('alice'), pointing(server, { ocsp: true }));
  const open = (config: Partial<RevocationConfig> = {}) =>
    openFor(t, { method: ['ocsp'], ...config }, { clock }).checks;
  return { clock, server, ocsp: server.ocsp, alice, open };
}

test('a peer is asked about once, with GET, however many wait for it', async (t) => {
  const { server, alice, open } = await startWorld(t);
  const checks = open();
  const peer = peerOf(alice);
  assert.equal(checks.check(peer).status, 'unknown');
  await Promise.all(
    [peer, peerOf(alice), peerOf(alice)].map((each) => checks.prepare(each, client)),
  );
  assert.deepEqual(server.asked, ['ocsp GET']);
  assert.equal(checks.prepare(peerOf(alice), client), undefined);
  assert.deepEqual(checks.check(peer), { status: 'good' });
});

test('whoever the responder says is revoked is, with its reason and who told', async (t) => {
  const { server, ocsp, alice, open } = await startWorld(t);
  ocsp.statuses.set(alice.certificate.serialHex, revoked);
  const status = await look(open(), alice);
  assert.ok(status.status === 'revoked');
  assert.deepEqual([status.by, status.reason], ['serial', 'keyCompromise']);
  assert.ok(status.toldBy?.endsWith(`told by ${server.url}/ocsp`));
});

test('the certificates of the chain are asked about too, but with scope "leaf"', async (t) => {
  const { server, ocsp, open } = await startWorld(t);
  const issuing = root.intermediate(pointing(server, { ocsp: '/ocsp-root' }));
  const bob = issuing.svid(idOf('bob'), pointing(server, { ocsp: true }));
  ocsp.statuses.set(issuing.certificate.serialHex, revoked);
  assert.equal((await look(open(), bob)).status, 'revoked');
  ocsp.signer = issuing;
  assert.equal((await look(open({ scope: 'leaf' }), bob)).status, 'good');
});

test('with a nonce each question is a fresh one, and an answer without it is none', async (t) => {
  const { server, ocsp, alice, open } = await startWorld(t);
  assert.equal((await look(open({ ocsp: { nonce: true, hash: 'sha256' } }), alice)).status, 'good');
  assert.deepEqual(server.asked, ['ocsp POST']);
  ocsp.answersNonce = false;
  unknown(await look(open({ ocsp: { nonce: true } }), alice), /has no nonce/);
});

test('a delegate is believed where the issuer made it one, and no other key is', async (t) => {
  const { ocsp, alice, open } = await startWorld(t);
  const delegateOf = (ca: typeof root, more = {}) =>
    ca.leaf({ extKeyUsage: ['OCSPSigning'], extensions: [extension.ocspNoCheck()], ...more });
  Object.assign(ocsp, { isDelegate: true, signer: delegateOf(root) });
  assert.equal((await look(open(), alice)).status, 'good');
  ocsp.signer = delegateOf(testCa({ name: 'test root' }));
  unknown(await look(open(), alice), /signature that does not verify/);
  ocsp.signer = delegateOf(root, { extKeyUsage: ['serverAuth'] });
  unknown(await look(open(), alice), /OCSPSigning is needed/);
});

test('a delegate that can be revoked is looked up in the list that its issuer names for it', async (t) => {
  const { server, clock, ocsp, open } = await startWorld(t);
  const both = pointing(server, { ocsp: true, crl: '/root.crl' });
  const bob = root.svid(idOf('bob'), both);
  const delegate = root.leaf({ extKeyUsage: ['OCSPSigning'], crlUris: [`${server.url}/root.crl`] });
  Object.assign(ocsp, { isDelegate: true, signer: delegate });
  const publish = async (serials: readonly string[]) => {
    const list = await buildCrl({
      ...{ signer: root.signer, issuer: root.certificate.subject, crlNumber: 1n },
      ...{ thisUpdate: clock.now() - 1000, nextUpdate: clock.now() + hour },
      entries: serials.map((serialHex) => ({
        ...{ serialHex, date: clock.now(), reason: 'keyCompromise' as const },
      })),
    });
    server.lists.set('/root.crl', list);
  };
  await publish([]);
  assert.equal((await look(open({ method: ['ocsp', 'crl'] }), bob)).status, 'good');
  await publish([delegate.certificate.serialHex]);
  unknown(await look(open({ method: ['ocsp', 'crl'] }), bob), /its signer .* may be revoked/);
});

test('what is no answer leaves the peer unknown, with the reason', async (t) => {
  const { clock, ocsp, alice, open } = await startWorld(t);
  ocsp.statuses.set(alice.certificate.serialHex, { status: 'unknown' });
  unknown(await look(open(), alice), /responder does not know certificate/);
  ocsp.statuses.clear();
  ocsp.nextUpdate = () => clock.now() - 120_000;
  unknown(await look(open(), alice), /OCSP answer (is stale|ends before it begins)/);
  ocsp.nextUpdate = () => clock.now() + hour;
  ocsp.signer = testCa({ name: 'test root' });
  unknown(await look(open(), alice), /neither the issuer/);
  const nobody = root.svid(idOf('nobody'));
  unknown(await look(open(), nobody), /names no OCSP responder at an http address/);
  const neighbour = pointing({ url: 'http://192.168.1.1' }, { ocsp: '/' });
  unknown(await look(open(), root.svid(idOf('x'), neighbour)), /192\.168\.1\.1 is no public/);
});

test('an answer without an end is used until the next question is due', async (t) => {
  const { clock, ocsp, alice, open } = await startWorld(t);
  ocsp.nextUpdate = undefined;
  const checks = open({ ocsp: { refresh: 60_000 } });
  const peer = peerOf(alice);
  await checks.prepare(peer, client);
  assert.equal(checks.check(peer).status, 'good');
  clock.step(70_000);
  assert.equal(checks.check(peer).status, 'unknown');
});

test('answers are renewed ahead of their end while they are in use, and a revocation is told of', async (t) => {
  const { clock, server, ocsp, alice, open } = await startWorld(t);
  const checks = open({ ocsp: { refresh: 10 * hour } });
  const peer = peerOf(alice);
  await checks.prepare(peer, client);
  let told = 0;
  checks.onChange(() => {
    told += 1;
    checks.check(peer);
  });
  // An hour of validity is renewed after 45 to 54 minutes.
  for (let minute = 0; minute < 44; minute += 1) await clock.advance(60_000);
  assert.equal(server.asked.length, 1);
  for (let minute = 0; minute < 11; minute += 1) await clock.advance(60_000);
  await until(() => server.asked.length >= 2);
  assert.equal(checks.check(peer).status, 'good');
  ocsp.statuses.set(alice.certificate.serialHex, revoked);
  const before = told;
  for (let minute = 0; minute < 56; minute += 1) await clock.advance(60_000);
  await until(() => checks.check(peer).status === 'revoked');
  assert.ok(told > before);
});

test('a silent responder is borne with as long as the operator allows, a revocation for ever', async (t) => {
  const { clock, server, ocsp, alice, open } = await startWorld(t);
  const mallory = root.svid(idOf('mallory'), pointing(server, { ocsp: true }));
  ocsp.statuses.set(mallory.certificate.serialHex, revoked);
  const checks = open({ maxStale: 2 * hour });
  const [good, bad] = [peerOf(alice), peerOf(mallory)];
  await Promise.all([checks.prepare(good, client), checks.prepare(bad, client)]);
  ocsp.signer = testCa({ name: 'broken' });
  clock.step(2 * hour);
  assert.equal(checks.check(good).status, 'good');
  clock.step(2 * hour);
  unknown(checks.check(good), /was due for an update at/);
  assert.equal(checks.check(bad).status, 'revoked');
});

test('of what is played back, the newest counts', async (t) => {
  const { clock, server, ocsp, alice, open } = await startWorld(t);
  ocsp.statuses.set(alice.certificate.serialHex, revoked);
  const checks = open({ ocsp: { refresh: 60_000 } });
  const peer = peerOf(alice);
  await checks.prepare(peer, client);
  ocsp.statuses.clear();
  ocsp.thisUpdate = () => clock.now() - 1_000_000;
  await clock.advance(61_000);
  await until(() => server.asked.length >= 2);
  await clock.advance(0);
  assert.equal(checks.check(peer).status, 'revoked');
});

test('a staple that a server shows is its word, without asking anybody; one that shows none is unknown', async (t) => {
  const { clock, server, ocsp, alice, open } = await startWorld(t);
  const staple = await stapleOf(t, server, alice);
  server.asked.length = 0;
  const checks = open({ method: ['staple'] });
  assert.equal(checks.asksForStaples, true);
  const shown = peerOf(alice, 'server');
  assert.equal(checks.prepare(shown, { purpose: 'server', staple }), undefined);
  assert.deepEqual(checks.check(shown), { status: 'good' });
  assert.ok((checks.shownUntil(shown) ?? 0) > clock.now());
  const bare = peerOf(root.svid(idOf('bare'), pointing(server, { ocsp: true })), 'server');
  checks.prepare(bare, { purpose: 'server' });
  unknown(checks.check(bare), /server showed no OCSP answer/);
  checks.prepare(bare, { purpose: 'server', staple });
  unknown(checks.check(bare), /OCSP answer does not speak of certificate/);
  checks.prepare(bare, { purpose: 'server', staple: Uint8Array.of(1, 2) });
  unknown(checks.check(bare), /is no OCSP answer/);
  assert.deepEqual(server.asked, []);
  // A client has no way to show one: the responder is asked.
  const bob = root.svid(idOf('bob'), pointing(server, { ocsp: true }));
  ocsp.statuses.set(bob.certificate.serialHex, revoked);
  assert.equal((await look(checks, bob)).status, 'revoked');
  clock.step(2 * hour);
  unknown(checks.check(shown), /was due for an update at/);
});

test('staples for our own certificates follow their rotation, and only a fresh good one is shown', async (t) => {
  const { clock, server, ocsp, alice } = await startWorld(t);
  const svidOf = ({ chain, privateKey }: typeof alice) => makeSvid(chain, privateKey);
  const first = svidOf(alice);
  let current = first;
  const rotated = new ChangeSignal((thrown) => assert.ifError(thrown));
  const svids = { svid: () => current, onChange: (tell: () => void) => rotated.onChange(tell) };
  const { staples } = openFor(t, { method: ['lifetime'], stapleOwn: true }, { clock, svids });
  assert.ok(staples !== undefined);
  await until(() => staples.staple(first) !== undefined);
  current = svidOf(root.svid(idOf('alice'), pointing(server, { ocsp: true })));
  assert.equal(staples.staple(current), undefined);
  rotated.notify();
  await until(() => staples.staple(current) !== undefined);
  assert.notDeepEqual(staples.staple(current), staples.staple(first));
  assert.equal(staples.report().state, 'good');
  ocsp.statuses.set(current.serialHex, revoked);
  clock.step(hour - 60_000);
  await clock.advance(40 * 60_000);
  await until(() => staples.report().state === 'revoked');
  assert.equal(staples.staple(current), undefined);
  const nameless = svidOf(root.svid(idOf('nameless')));
  assert.equal(staples.staple(nameless), undefined);
});

/** What a responder would give a server to staple. */
async function stapleOf(
  t: TestContext,
  server: Awaited<ReturnType<typeof startRevocationServer>>,
  credential: ReturnType<typeof root.svid>,
): Promise<Uint8Array> {
  const svid = makeSvid(credential.chain, credential.privateKey);
  const { staples } = openFor(
    t,
    { method: ['lifetime'], stapleOwn: true },
    { svids: { svid: () => svid } },
  );
  await until(() => staples?.staple(svid) !== undefined);
  assert.ok(server.asked.length > 0);
  return staples?.staple(svid) ?? new Uint8Array();
}

function unknown(status: RevocationStatus, detail: RegExp): void {
  assert.ok(status.status === 'unknown', status.status);
  assert.match(status.detail, detail);
}

async function look(
  checks: ReturnType<typeof openFor>['checks'],
  credential: Parameters<typeof peerOf>[0],
): Promise<RevocationStatus> {
  const peer = peerOf(credential);
  await checks.prepare(peer, client);
  return checks.check(peer);
}
