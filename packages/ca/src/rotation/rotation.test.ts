import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Denial, noLog, noMeter, systemClock } from '@countersign/base';
import { bundleDigest, makeBundle, type TrustBundle } from '@countersign/spiffe';
import { testClock } from '@countersign/testkit';
import { fingerprintOf, parseCertificate, validatePath } from '@countersign/x509';
import {
  issuedOf,
  payments,
  peerOf,
  refused,
  request,
  testAuthority,
} from '../../test/authority-under-test.ts';
import type { Authority } from '../authority.ts';
import type { Issued } from '../issue.ts';
import { verifyAudit } from '../ledger/verify-audit.ts';
import { startPublishing } from '../publish/start-publishing.ts';
import type { KeyRotation } from './key-rotation.ts';

const yaml = `
ca:
  root: { curve: P-256, validity: "87600h" }
  intermediate:
    production: { issuer: europe, curve: P-256, nameConstraints: { permitted: [".prod.internal"] } }
    europe: { curve: P-256 }
    rest: { curve: P-256 }
service_certificates:
  validity: "1h"
  san_policies: { spiffe_trust_domain: example.com, allowed_dns_patterns: ["*.internal"] }
`;
const by = 'operator';
const orders = 'spiffe://example.com/ns/prod/sa/orders';

describe('replacing the root', () => {
  it('has both in the bundle, then signs by the new one, then is without the old one', async () => {
    const world = await begin();
    const { authority, keys, clock } = world;
    const first = authority.bundle();
    const old = await world.issue(payments);

    // 1. prepared: nothing is signed by it, and everybody may learn of it
    assert.deepEqual(await keys.prepare('root', { by }), { ok: true, done: true });
    const both = authority.bundle();
    assert.equal(both.authorities.length, 2);
    assert.equal(both.sequence, (first.sequence ?? 0) + 1);
    assert.equal(authority.rootFingerprint, fingerprintOf(first.authorities[0]!));
    proves(await world.issue(payments), first);

    // 2. active: whoever has either bundle gets there, and what was issued before is as good as it was
    await world.holds(old);
    await clock.advance(5000);
    assert.deepEqual(await keys.activate('root', { by, threshold: 0 }), { ok: true, done: true });
    assert.equal(authority.rootFingerprint, fingerprintOf(both.authorities[1]!));
    assert.equal(bundleDigest(authority.bundle()), bundleDigest(both));
    await clock.advance(5000);
    const anew = await world.issue(payments);
    const second = makeBundle('example.com', both.authorities.slice(1));
    for (const bundle of [first, both, second]) proves(anew, bundle);
    for (const bundle of [first, both]) proves(old, bundle);
    const named = await world.issue(orders, { issuer: 'production' });
    for (const bundle of [first, both, second]) proves(named, bundle);

    // 3. retired, once nothing leads to it
    refused(await keys.retire('root', { by }), 'ERR_ROTATION_LIVE', /payments" until 20/);
    await clock.advance(2 * 3_600_000);
    assert.deepEqual(await keys.retire('root', { by }), { ok: true, done: true });
    assert.deepEqual(authority.bundle().authorities.map(fingerprintOf), [
      authority.rootFingerprint,
    ]);
    const last = await world.issue(payments);
    assert.equal(last.chain.length, 3);
    proves(last, authority.bundle());
    assert.deepEqual((await verifyAudit(authority.ledger)).findings, []);
    await authority.close();
  });

  it('goes three times in a row, each root known by the one before it', async () => {
    const world = await begin();
    const { authority, keys, clock } = world;
    for (let round = 0; round < 3; round += 1) {
      const before = authority.bundle();
      await done(keys.prepare('root', { by }));
      await done(keys.activate('root', { by }));
      await clock.advance(5000);
      proves(await world.issue(payments), before);
      await done(keys.retire('root', { by }));
      await clock.advance(2 * 3_600_000);
    }
    const { generations, state, sequence } = await keys.show('root');
    assert.deepEqual(
      generations.map((each) => [each.name, each.phase]),
      [
        ['root', 'retired'],
        ['root.2', 'retired'],
        ['root.3', 'retired'],
        ['root.4', 'active'],
      ],
    );
    assert.deepEqual([state, sequence], ['steady', 7]);
    await authority.close();
  });

  it('is not activated before whoever holds the bundle holds the new one, and names who lacks it', async () => {
    const world = await begin();
    const { authority, keys, clock } = world;
    const late = await world.enrol('spiffe://example.com/ns/prod/sa/late');
    const early = await world.enrol(payments);
    await done(keys.prepare('root', { by }));
    const { uptake } = await keys.show('root');
    assert.deepEqual([uptake?.holders, uptake?.holding], [2, 0]);
    await world.holds(early);
    await world.holds(late, 'ab'.repeat(32));
    const answer = await keys.activate('root', { by });
    refused(
      answer,
      'ERR_ROTATION_UPTAKE',
      /1 of 2 hold the new root, 2 have to: ".*\/late" lack it/,
    );
    const { uptake: then, next } = await keys.show('root');
    const [laggard, ...others] = then?.lacking ?? [];
    assert.deepEqual(others, []);
    assert.equal(laggard?.name, 'spiffe://example.com/ns/prod/sa/late');
    assert.equal(laggard?.serial, late.serialHex);
    assert.equal(laggard?.until, late.notAfter);
    assert.match(next, /wait until 1 more/);
    assert.equal(authority.rootFingerprint, fingerprintOf(authority.bundle().authorities[0]!));

    // A renewal brings the bundle, and the certificate before counts no more; unless that is heard of again.
    await clock.advance(2000);
    const renew = async () =>
      issuedOf(
        await authority.renew({ csr: await request(), peer: peerOf(authority, late, clock.now()) }),
      );
    await renew();
    const uptakeNow = async () => (await keys.show('root')).uptake;
    assert.deepEqual((await uptakeNow())?.lacking, []);
    await clock.advance(70_000);
    await world.holds(late, 'ab'.repeat(32));
    refused(await keys.activate('root', { by }), 'ERR_ROTATION_UPTAKE', /2 of 3 hold/);
    const renewed = await renew();
    assert.deepEqual([(await uptakeNow())?.holders, (await uptakeNow())?.lacking.length], [3, 0]);
    await world.holds(renewed, 'cd'.repeat(32));
    refused(await keys.activate('root', { by }), 'ERR_ROTATION_UPTAKE', /2 of 3 hold/);
    await world.holds(renewed);
    await done(keys.activate('root', { by }));
    await authority.close();
  });

  it('does not count what was renewed before it began beside what it was renewed to', async () => {
    const world = await begin();
    const { authority, keys, clock } = world;
    const first = await world.enrol(payments);
    const peer = peerOf(authority, first, clock.now());
    const second = issuedOf(await authority.renew({ csr: await request(), peer }));
    await done(keys.prepare('root', { by }));
    const { uptake, next } = await keys.show('root');
    assert.deepEqual(
      uptake?.lacking.map(({ serial }) => serial),
      [second.serialHex],
    );
    assert.match(next, /renew .* where it runs .*, revoke it if it is gone/);
    await authority.close();
  });

  it('is activated for a share of the holders, or by force', async () => {
    const world = await begin();
    const { authority, keys } = world;
    const [one] = [await world.enrol(payments), await world.enrol(orders)];
    await done(keys.prepare('root', { by }));
    await world.holds(one!);
    refused(await keys.activate('root', { by, threshold: 0.6 }), 'ERR_ROTATION_UPTAKE');
    await done(keys.activate('root', { by, threshold: 0.5 }));
    await done(keys.rollBack('root', { by }));
    await done(keys.activate('root', { by, force: true }));
    await authority.close();
  });

  it('goes back: from active to prepared, from prepared to what was before', async () => {
    const world = await begin();
    const { authority, keys, clock } = world;
    const first = authority.bundle();
    await done(keys.prepare('root', { by }));
    const both = authority.bundle();
    await done(keys.activate('root', { by }));
    await clock.advance(5000);
    const meanwhile = await world.issue(payments);
    await done(keys.rollBack('root', { by }));
    assert.equal(authority.rootFingerprint, fingerprintOf(first.authorities[0]!));
    assert.equal(bundleDigest(authority.bundle()), bundleDigest(both));
    await clock.advance(5000);
    const after = await world.issue(payments);
    assert.equal(after.chain.length, 3);
    proves(after, first);
    proves(meanwhile, both);

    // Once more it does nothing, as after a crash that left its answer behind.
    assert.deepEqual(await keys.rollBack('root', { by }), { ok: true, done: false });
    const drop = true;
    refused(
      await keys.rollBack('root', { by, drop }),
      'ERR_ROTATION_LIVE',
      /1 certificate in use leads to it/,
    );
    await clock.advance(2 * 3_600_000);
    await done(keys.rollBack('root', { by, drop }));
    assert.equal(bundleDigest(authority.bundle()), bundleDigest(first));
    assert.ok((authority.bundle().sequence ?? 0) > (both.sequence ?? 0));
    refused(await keys.activate('root', { by }), 'ERR_ROTATION_STEP', /none is prepared/);
    // What the old root said of the one that was given up is taken back.
    assert.equal((await authority.ledger.status()).revocations, 1);
    assert.deepEqual(await keys.rollBack('root', { by }), { ok: true, done: false });
    await done(keys.prepare('root', { by }));
    assert.equal((await keys.show('root')).generations.at(-1)?.name, 'root.3');
    await authority.close();
  });

  it('does no step that does not follow', async () => {
    const { authority, keys } = await begin();
    refused(await keys.activate('root', { by }), 'ERR_ROTATION_STEP', /none is prepared/);
    refused(await keys.retire('root', { by }), 'ERR_ROTATION_STEP', /none was replaced/);
    refused(await keys.rollBack('root', { by }), 'ERR_ROTATION_STEP');
    await assert.rejects(keys.prepare('nowhere', { by }), { code: 'ERR_ROTATION_NAME' });
    await done(keys.prepare('root', { by }));
    assert.deepEqual(await keys.prepare('root', { by }), { ok: true, done: false });
    refused(await keys.retire('root', { by }), 'ERR_ROTATION_STEP', /not active yet/);
    await done(keys.activate('root', { by }));
    assert.deepEqual(await keys.activate('root', { by }), { ok: true, done: false });
    refused(await keys.prepare('root', { by }), 'ERR_ROTATION_STEP', /not retired yet/);
    await authority.close();
  });

  it('lets tokens of before be redeemed, and certificates of before be renewed', async () => {
    const world = await begin();
    const { authority, keys, clock } = world;
    const token = await authority.createToken({ spiffeId: payments, dns: [], ip: [] });
    assert.ok(token.ok);
    const old = await world.issue(orders);
    await done(keys.prepare('root', { by }));
    await done(keys.activate('root', { by, force: true }));
    issuedOf(await authority.enrol({ csr: await request(), token: token.token }));
    const peer = peerOf(authority, old, clock.now());
    issuedOf(await authority.renew({ csr: await request(), peer }));
    await authority.close();
  });

  it('is not retired while a token could be redeemed that pins the old one', async () => {
    const { authority, keys, clock } = await begin();
    const token = (ttlMs: number) => authority.createToken({ spiffeId: payments, ttlMs });
    const [spent, open, long] = [await token(9e6), await token(9e6), await token(9e7)];
    assert.ok(spent.ok && open.ok && long.ok);
    issuedOf(await authority.enrol({ csr: await request(), token: spent.token }));
    await done(keys.prepare('root', { by }));
    await done(keys.activate('root', { by, force: true }));
    await clock.advance(2 * 3_600_000);
    assert.ok((await token(9e6)).ok);
    const answer = await keys.retire('root', { by });
    refused(answer, 'ERR_ROTATION_LIVE', /2 join tokens pin it: token "[0-9a-f]{16}" for "spiffe/);
    assert.ok(!answer.ok && answer.detail.includes(open.token.id));
    assert.ok(!answer.detail.includes(spent.token.id));
    await clock.advance(1 * 3_600_000);
    refused(await keys.retire('root', { by }), 'ERR_ROTATION_LIVE', /1 join token pins it/);
    const order = { by: 'token', value: long.token.id, reason: 'superseded' } as const;
    assert.ok((await authority.revoke(order, { kind: 'operator' })).ok);
    await done(keys.retire('root', { by }));
    await authority.close();
  });
});

describe('replacing an intermediate', () => {
  it('signs by the new key once it is active, and gives up the old one when nothing leads to it', async () => {
    const world = await begin();
    const { authority, keys, clock } = world;
    const bundle = authority.bundle();
    const old = await world.issue(payments, { issuer: 'rest' });
    await done(keys.prepare('rest', { by }));
    const [before] = [await world.issue(payments, { issuer: 'rest' })];
    assert.deepEqual(before.chain[1], old.chain[1]);
    assert.match((await keys.show('rest')).next, /^activate, or rollback, which gives/);
    await done(keys.activate('rest', { by }));
    await done(keys.rollBack('rest', { by }));
    assert.match((await keys.show('rest')).next, /^activate, or rollback --drop, which gives/);
    await done(keys.activate('rest', { by }));
    const anew = await world.issue(payments, { issuer: 'rest' });
    assert.notDeepEqual(anew.chain[1], old.chain[1]);
    for (const each of [old, anew]) proves(each, bundle);
    assert.deepEqual(authority.bundle().sequence, bundle.sequence);
    refused(await keys.retire('rest', { by }), 'ERR_ROTATION_LIVE', /"rest": 2 certificates/);
    assert.deepEqual(
      authority.publishers().map(({ name }) => name),
      ['root', 'production', 'europe', 'rest', 'rest.2'],
    );
    await clock.advance(2 * 3_600_000);
    await done(keys.retire('rest', { by }));

    // Whoever revokes the former key is told of the one that signs now.
    const revoke = async (value: string, dryRun = false) => {
      const order = { by: 'issuer', value, reason: 'cACompromise', waitMs: 0, dryRun } as const;
      const answer = await authority.revoke(order, { kind: 'operator' });
      return answer.ok && answer.inForce;
    };
    const told = [await revoke('rest', true), await revoke('rest'), await revoke('rest.2', true)];
    assert.deepEqual(told, ['rest.2', 'rest.2', undefined]);
    const carried = [{ file: 'rest.pem', text: '' }];
    refused(await keys.prepare('rest', { by, carried }), 'ERR_CEREMONY_ONLINE', /"root" is here/);
    await authority.close();
  });

  it('certifies what is below it anew, in whatever order roots and intermediates are replaced', async () => {
    const world = await begin();
    const { authority, keys, clock } = world;
    const issuer = 'production';
    const first = authority.bundle();
    await done(keys.prepare('production', { by }));
    await done(keys.prepare('europe', { by }));
    await done(keys.prepare('root', { by }));
    const steps = ['production', 'root', 'europe'] as const;
    for (const name of steps) {
      await done(keys.activate(name, { by }));
      await clock.advance(5000);
      const issued = await world.issue(orders, { issuer });
      for (const bundle of [first, authority.bundle()]) proves(issued, bundle);
      await clock.advance(2 * 3_600_000);
    }
    for (const name of steps) await done(keys.retire(name, { by }));
    const last = await world.issue(orders, { issuer });
    assert.equal(last.chain.length, 3);
    proves(last, authority.bundle());
    await authority.close();
  });
});

describe('lists of a key that was replaced', () => {
  it('go on beside those of the new one', async (t) => {
    const clock = systemClock;
    const publish = 'publish: { url: "http://pki.example.com", crl: {}, ocsp: {} }';
    const authority = await testAuthority({ yaml: `${yaml}${publish}\n`, clock });
    const { rotation: keys } = authority;
    assert.ok(keys !== undefined);
    const parts = { authority, port: 0, clock, log: noLog, meter: noMeter };
    const publishing = await startPublishing(parts);
    const entries = async (name: string) => {
      const list = await publishing?.list(name);
      assert.ok(list !== undefined && 'entries' in list);
      return list.entries;
    };
    const issue = async () =>
      issuedOf(await authority.issue({ csr: await request(), spiffeId: payments, issuer: 'rest' }));
    const revoke = ({ serialHex }: Issued) => {
      const order = { by: 'serial', value: serialHex, reason: 'superseded' } as const;
      return authority.revoke(order, { kind: 'operator' });
    };
    t.after(async () => {
      await publishing?.close(0);
      await authority.close();
    });
    const old = await issue();
    await done(keys.prepare('rest', { by }));
    await done(keys.activate('rest', { by }));
    await revoke(old);
    assert.deepEqual([await entries('rest'), await entries('rest.2')], [1, 0]);
    await revoke(await issue());
    assert.deepEqual([await entries('rest'), await entries('rest.2')], [1, 1]);
    await done(keys.retire('rest', { by, force: true }));
    assert.deepEqual([await entries('rest'), await entries('rest.2')], [1, 1]);
    await done(keys.prepare('root', { by }));
    assert.equal(await entries('root.2'), 0);
  });
});

interface World {
  readonly authority: Authority;
  readonly keys: KeyRotation;
  readonly clock: ReturnType<typeof testClock>;
  issue(spiffeId: string, more?: object): Promise<Issued>;
  enrol(spiffeId: string): Promise<Issued>;
  /** Its holder says which bundle it has; the authority's of now unless given. */
  holds(issued: Issued, digest?: string): Promise<void>;
}

async function begin(): Promise<World> {
  const clock = testClock(systemClock.now());
  const authority = await testAuthority({ yaml, clock });
  const { rotation: keys } = authority;
  assert.ok(keys !== undefined);
  await clock.advance(10_000);
  return {
    ...{ authority, keys, clock },
    async issue(spiffeId, more = {}) {
      return issuedOf(await authority.issue({ csr: await request(), spiffeId, ...more }));
    },
    async enrol(spiffeId) {
      const token = await authority.createToken({ spiffeId, dns: [], ip: [] });
      assert.ok(token.ok);
      return issuedOf(await authority.enrol({ csr: await request(), token: token.token }));
    },
    async holds({ serialHex }, digest = bundleDigest(authority.bundle())) {
      await authority.noteBundle({ serialHex, instance: '', digest });
    },
  };
}

async function done(step: Promise<{ readonly ok: true; readonly done: boolean } | Denial>) {
  const result = await step;
  assert.ok(result.ok, result.ok ? '' : `${result.code}: ${result.detail}`);
  assert.equal(result.done, true);
}

function proves({ chain, notAfter }: Issued, { authorities }: TrustBundle): void {
  const [leaf, ...intermediates] = chain.map((der) => parseCertificate(der));
  const path = validatePath({
    leaf: leaf!,
    intermediates,
    anchors: authorities,
    at: notAfter - 1000,
  });
  assert.ok(path.ok, path.ok ? '' : path.detail);
}
