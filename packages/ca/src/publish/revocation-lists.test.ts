import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type TestClock, testClock } from '@countersign/testkit';
import { type Certificate, type Crl, parseCrl, verifySignature } from '@countersign/x509';
import { orders, type PublishingWorld, publishingWorld, url } from '../../test/publishing-world.ts';
import { shardOf, slugOf } from './published-paths.ts';

const hour = 3_600_000;

function pathOf({ ca }: PublishingWorld, ending = '.crl'): string {
  return `/crl/${slugOf('services', ca.certificate)}${ending}`;
}

function listAt(world: PublishingWorld, path: string): Crl {
  const list = world.lists.at(path);
  assert.ok(list, `nothing at ${path}`);
  const crl = parseCrl(list.bytes);
  assert.equal(crl.crlNumber, list.number);
  assert.equal(crl.entries.size, list.entries);
  assert.ok(isSignedBy(crl, world.ca.certificate));
  return crl;
}

function isSignedBy(crl: Crl, { spki }: Certificate): boolean {
  return verifySignature(spki, crl.signatureAlgorithm, crl.tbs, crl.signature);
}

/** Until nothing is under way: reads, signatures and writes of a moment. */
async function settled(clock: TestClock, ms = 0): Promise<void> {
  for (let i = 0; i < 20; i += 1) await clock.advance(0);
  if (ms > 0) await clock.advance(ms);
  for (let i = 0; i < 20; i += 1) await clock.advance(0);
}

describe('revocation lists', () => {
  it('are there from the start, and have a revocation within their coalescing time', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock });
    await settled(clock);
    const empty = listAt(world, pathOf(world));
    assert.equal(empty.entries.size, 0);
    assert.equal(empty.thisUpdate, clock.now() - 60_000);
    assert.equal(empty.nextUpdate, clock.now() - 60_000 + 24 * hour);
    assert.equal(empty.issuingDistributionPoint, undefined);
    const { serialHex } = await world.order();
    await world.revoke('serial', serialHex, 'keyCompromise');
    await settled(clock, 400);
    assert.equal(listAt(world, pathOf(world)).crlNumber, empty.crlNumber);
    await settled(clock, 599);
    const list = listAt(world, pathOf(world));
    assert.equal(list.entries.get(serialHex)?.reason, 'keyCompromise');
    assert.ok((list.crlNumber ?? 0n) > (empty.crlNumber ?? 0n));
    await world.close();
  });

  it('name every certificate that a SPIFFE ID, key or provisioner covers, once, and none ordered later', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock });
    const first = [await world.order(), await world.order(), await world.order()];
    const [one] = first;
    assert.ok(one);
    await world.revoke('serial', one.serialHex, 'keyCompromise');
    await world.revoke('spiffe-id', orders);
    await world.order();
    await settled(clock, 1000);
    const list = listAt(world, pathOf(world));
    const serials = first.map(({ serialHex }) => serialHex).toSorted();
    assert.deepEqual([...list.entries.keys()].toSorted(), serials);
    assert.equal(list.entries.get(one.serialHex)?.reason, 'keyCompromise');
    await world.close();
  });

  it('take what comes within one coalescing time in one list', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock });
    await settled(clock);
    const numbers = new Set<bigint | undefined>();
    for (let i = 0; i < 20; i += 1) {
      const { serialHex } = await world.order();
      await world.revoke('serial', serialHex);
      await settled(clock, 100);
      numbers.add(listAt(world, pathOf(world)).crlNumber);
    }
    await settled(clock, 1000);
    assert.equal(listAt(world, pathOf(world)).entries.size, 20);
    assert.ok(numbers.size <= 4, `${numbers.size} lists in two seconds`);
    await world.close();
  });

  it('are made again before their end, with ever higher numbers', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock });
    await settled(clock);
    let last = listAt(world, pathOf(world));
    for (let i = 0; i < 5; i += 1) {
      await settled(clock, 12 * hour);
      const next = listAt(world, pathOf(world));
      assert.ok((next.crlNumber ?? 0n) > (last.crlNumber ?? 0n));
      assert.ok(next.thisUpdate < (last.nextUpdate ?? 0));
      last = next;
    }
    await world.close();
  });

  it('keep an entry on one list beyond its end that was due by the clock, then drop it', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock });
    await settled(clock);
    const short = await world.order({ notAfter: clock.now() + hour });
    const long = await world.order({ notAfter: clock.now() + 100 * hour });
    await world.revoke('spiffe-id', orders);
    await settled(clock, 2 * hour);
    // Over, but on no list since that was due by the clock; this one is for a revocation.
    const other = await world.order({
      spiffeId: `${orders}/2`,
      notAfter: clock.now() + 100 * hour,
    });
    await world.revoke('serial', other.serialHex);
    await settled(clock, 1000);
    assert.ok(listAt(world, pathOf(world)).entries.has(short.serialHex));
    await settled(clock, 10 * hour);
    assert.ok(
      listAt(world, pathOf(world)).entries.has(short.serialHex),
      'the first due beyond its end',
    );
    await settled(clock, 12 * hour);
    await settled(clock, 12 * hour);
    const list = listAt(world, pathOf(world));
    assert.equal(list.entries.has(short.serialHex), false);
    assert.ok(list.entries.has(long.serialHex));
    await world.close();
  });

  it('go on after a restart with higher numbers, and with what is not over', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock });
    const { serialHex } = await world.order({ notAfter: clock.now() + 100 * hour });
    await world.revoke('serial', serialHex);
    await settled(clock, 1000);
    const before = listAt(world, pathOf(world));
    clock.step(-60_000);
    const again = await world.restart();
    await settled(clock, 1000);
    const after = listAt(again, pathOf(again));
    assert.ok((after.crlNumber ?? 0n) > (before.crlNumber ?? 0n));
    assert.deepEqual([...after.entries.keys()], [serialHex]);
    await again.close();
  });

  it('get back what a clock that ran ahead made them drop', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock });
    const { serialHex } = await world.order({ notAfter: clock.now() + 24 * hour });
    await world.revoke('serial', serialHex);
    await settled(clock, 1000);
    const right = clock.now();
    for (let i = 0; i < 4; i += 1) {
      clock.step(40 * 24 * hour);
      await settled(clock, 31_000);
    }
    const ahead = listAt(world, pathOf(world));
    assert.equal(ahead.entries.size, 0);
    clock.step(right - clock.now());
    await settled(clock, 31_000);
    await settled(clock, 31_000);
    const back = listAt(world, pathOf(world));
    assert.ok(back.entries.has(serialHex));
    assert.ok(back.thisUpdate <= clock.now());
    assert.ok((back.crlNumber ?? 0n) > (ahead.crlNumber ?? 0n));
    await world.close();
  });

  it('keep the last list when a new one cannot be signed, and try again', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock });
    await settled(clock);
    const before = listAt(world, pathOf(world));
    const { signer } = world.issuer;
    let failures = 0;
    Object.assign(world.issuer, {
      signer: async () => {
        failures += 1;
        throw new TypeError('the token is gone');
      },
    });
    const { serialHex } = await world.order();
    await world.revoke('serial', serialHex);
    await settled(clock, 1500);
    assert.ok(failures > 0 && failures < 4, `${failures} tries`);
    assert.equal(listAt(world, pathOf(world)).crlNumber, before.crlNumber);
    Object.assign(world.issuer, { signer });
    await settled(clock, 60_000);
    assert.ok(listAt(world, pathOf(world)).entries.has(serialHex));
    await world.close();
  });

  it('are given out under no number that is not kept', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock });
    await settled(clock);
    const before = listAt(world, pathOf(world));
    const { write } = world.states;
    world.states.write = async () => {
      throw new TypeError('disk full');
    };
    const { serialHex } = await world.order();
    await world.revoke('serial', serialHex);
    await settled(clock, 1500);
    assert.equal(listAt(world, pathOf(world)).crlNumber, before.crlNumber);
    world.states.write = write;
    await settled(clock, 60_000);
    const after = listAt(world, pathOf(world));
    assert.ok(after.entries.has(serialHex));
    const kept = (await world.states.read()).get(pathOf(world));
    assert.equal(kept?.number, after.crlNumber);
    await world.close();
  });

  it('are split by serial number, each in scope of the address that its certificates name', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock, crl: { shards: 4 } });
    const intents = await Promise.all(Array.from({ length: 40 }, () => world.order()));
    await world.revoke('spiffe-id', orders);
    await settled(clock, 1000);
    const slug = slugOf('services', world.ca.certificate);
    const listed: string[] = [];
    for (let shard = 0; shard < 4; shard += 1) {
      const path = `/crl/${slug}/4/00${shard}.crl`;
      const list = listAt(world, path);
      const names = list.issuingDistributionPoint?.fullName;
      assert.deepEqual(names, [{ kind: 'uri', value: url + path }]);
      const expected = intents.filter(({ serial }) => shardOf(serial, 4) === shard);
      assert.equal(list.entries.size, expected.length);
      for (const { serialHex } of expected) assert.ok(list.entries.has(serialHex));
      listed.push(...list.entries.keys());
    }
    assert.equal(new Set(listed).size, 40);
    const whole = await world.lists.wholeOf(slug, world.index);
    assert.ok('bytes' in whole);
    const crl = parseCrl(whole.bytes);
    assert.equal(crl.entries.size, 40);
    assert.equal(crl.issuingDistributionPoint, undefined);
    await world.close();
  });

  it('have deltas that bring every valid complete list up to date', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock, crl: { delta: true } });
    await settled(clock);
    const completes: Crl[] = [];
    const revoked: string[] = [];
    for (let i = 0; i < 24; i += 1) {
      const complete = listAt(world, pathOf(world));
      assert.deepEqual(complete.freshestCrl?.[0]?.fullName, [
        { kind: 'uri', value: url + pathOf(world, '-delta.crl') },
      ]);
      completes.push(complete);
      const { serialHex } = await world.order({ notAfter: clock.now() + 200 * hour });
      await world.revoke('serial', serialHex);
      revoked.push(serialHex);
      await settled(clock, 1000);
      const delta = listAt(world, pathOf(world, '-delta.crl'));
      assert.equal(delta.freshestCrl, undefined);
      assert.ok((delta.nextUpdate ?? 0) <= clock.now() + hour);
      for (const held of completes) {
        if ((held.nextUpdate ?? 0) <= clock.now()) continue;
        assert.ok((held.crlNumber ?? 0n) >= (delta.deltaCrlBase ?? 0n), 'usable');
        const known = new Set([...held.entries.keys(), ...delta.entries.keys()]);
        assert.deepEqual([...known].toSorted(), revoked.toSorted());
      }
      await settled(clock, 2 * hour);
    }
    const delta = listAt(world, pathOf(world, '-delta.crl'));
    assert.ok(delta.entries.size < 20, `${delta.entries.size} entries since the base`);
    const again = await world.restart();
    await settled(clock, 1000);
    const after = listAt(again, pathOf(again, '-delta.crl'));
    assert.deepEqual([...after.entries.keys()], [...delta.entries.keys()]);
    await again.close();
  });

  it('have who is on hold until the release; deltas then say that it is off, and a hold may become final', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock, crl: { delta: true } });
    await settled(clock);
    const [held, other] = [await world.order(), await world.order()];
    const reasonsOf = (ending: string) =>
      [held, other].map(({ serialHex }) => {
        return listAt(world, pathOf(world, ending)).entries.get(serialHex)?.reason;
      });
    for (const { serialHex } of [held, other]) {
      await world.revoke('serial', serialHex, 'certificateHold');
    }
    await settled(clock, 1000);
    assert.deepEqual(reasonsOf('.crl'), ['certificateHold', 'certificateHold']);
    assert.deepEqual(reasonsOf('-delta.crl'), ['certificateHold', 'certificateHold']);
    await world.revoke('serial', held.serialHex, 'removeFromCRL');
    await world.revoke('serial', other.serialHex, 'keyCompromise');
    await settled(clock, 1000);
    assert.deepEqual(reasonsOf('.crl'), [undefined, 'keyCompromise']);
    // RFC 5280 §5.2.4
    assert.deepEqual(reasonsOf('-delta.crl'), ['removeFromCRL', 'keyCompromise']);
    await world.revoke('serial', held.serialHex, 'certificateHold');
    await settled(clock, 1000);
    assert.deepEqual(reasonsOf('.crl'), ['certificateHold', 'keyCompromise']);
    assert.deepEqual(reasonsOf('-delta.crl'), ['certificateHold', 'keyCompromise']);
    await world.close();
  });

  it('of a root whose key is not here are refused by name', async () => {
    const clock = testClock();
    const world = await publishingWorld({ clock });
    await settled(clock);
    Object.assign(world.issuer, { signer: undefined });
    const answer = await world.lists.current('services', undefined, world.index);
    assert.ok('code' in answer && answer.code === 'ERR_PUBLISH_ROOT_KEY');
    const other = await world.lists.current('nobody', undefined, world.index);
    assert.ok('code' in other && other.code === 'ERR_PUBLISH_ISSUER');
    assert.match(other.detail, /there is no issuer "nobody", there are "services"/);
    await world.close();
  });
});
