import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { toHex } from '@countersign/base';
import { neverRevoked, serialForPosition, staticBundles, verifyPeer } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import type { CoveredFrame, HelloFrame, RevocationFrame } from '@countersign/wire';
import fc from 'fast-check';
import { type JudgedPeer, RevokedSet } from './index.ts';

const ca = testCa();
const between = ca.intermediate();
const bundles = staticBundles({ trustDomain: 'example.com', authorities: [ca.root] });
const anchor = createHash('sha256').update(ca.root.raw).digest('hex');
const hello: HelloFrame = {
  type: 'hello',
  trustDomain: 'example.com',
  anchors: [anchor],
  position: 1_000_000,
  heartbeatMs: 1000,
};
const at = 1_767_225_600_000;

/** A real chain, validated, whose serial says that it was ordered at `position`. */
function peerAt(position: number, id = 'spiffe://example.com/a'): JudgedPeer {
  const serial = serialForPosition(position, new Uint8Array(12).fill(position % 251));
  const { certificate } = between.svid(id, { serial });
  const result = verifyPeer({
    chain: [certificate, between.certificate],
    bundles,
    at: certificate.notBefore + 1,
    purpose: 'client',
  });
  assert.ok(result.ok, JSON.stringify(result));
  assert.equal(neverRevoked.check(result.peer).status, 'good');
  return result.peer;
}

function frame(
  position: number,
  previous: number,
  what: Partial<RevocationFrame>,
): RevocationFrame {
  return {
    type: 'revocation',
    position,
    previous,
    by: 'serial',
    value: 'a1',
    reason: 'keyCompromise',
    at,
    ...what,
  };
}

function setWith(...frames: RevocationFrame[]): RevokedSet {
  const set = new RevokedSet();
  set.greet(hello);
  for (const each of frames) set.apply(each);
  return set;
}

test('a serial is revoked, of the leaf and of the certificate that issued it', () => {
  const peer = peerAt(5);
  const [leaf, issuer, root] = peer.chain;
  for (const certificate of [leaf, issuer]) {
    const found = setWith(frame(7, 0, { value: certificate?.serialHex ?? '' })).find(peer);
    assert.deepEqual(found, {
      status: 'revoked',
      by: 'serial',
      reason: 'keyCompromise',
      position: 7,
      at,
    });
  }
  // A root is distrusted by leaving the bundle; its own serial says nothing.
  assert.equal(setWith(frame(7, 0, { value: root?.serialHex ?? '' })).find(peer), undefined);
});

test('by SPIFFE ID and by key, certificates ordered before the revocation are covered, later ones are not', () => {
  const before = peerAt(19);
  const byId = setWith(frame(20, 0, { by: 'spiffe-id', value: 'spiffe://example.com/a' }));
  assert.equal(byId.find(before)?.by, 'spiffe-id');
  assert.equal(byId.find(peerAt(21)), undefined);
  assert.equal(byId.find(peerAt(19, 'spiffe://example.com/b')), undefined);
  const key = createHash('sha256')
    .update(before.chain[0]?.spki.raw ?? '')
    .digest('hex');
  const byKey = setWith(frame(20, 0, { by: 'key', value: key }));
  assert.equal(byKey.find(before)?.by, 'key');
  assert.equal(setWith(frame(19, 0, { by: 'key', value: key })).find(before), undefined);
  const issuerKey = createHash('sha256').update(between.certificate.spki.raw).digest('hex');
  assert.equal(setWith(frame(20, 0, { by: 'key', value: issuerKey })).find(before)?.by, 'key');
});

test('a second revocation of the same SPIFFE ID covers what was ordered in between', () => {
  const value = 'spiffe://example.com/a';
  const set = setWith(
    frame(20, 0, { by: 'spiffe-id', value }),
    frame(40, 20, { by: 'spiffe-id', value }),
  );
  assert.equal(set.find(peerAt(30))?.position, 40);
  assert.equal(set.find(peerAt(41)), undefined);
});

test('a serial that tells no position counts as ordered before', () => {
  const { certificate } = between.svid('spiffe://example.com/a');
  const peer: JudgedPeer = {
    anchorFingerprint: anchor,
    spiffeId: 'spiffe://example.com/a',
    chain: [certificate, ca.root],
  };
  const set = setWith(frame(1, 0, { by: 'spiffe-id', value: 'spiffe://example.com/a' }));
  assert.equal(set.find(peer)?.status, 'revoked');
});

test('peers under another root are not judged, and a root that was named once stays judged', () => {
  const peer = peerAt(5);
  const value = peer.chain[0]?.serialHex ?? '';
  const set = new RevokedSet();
  set.greet({ ...hello, anchors: ['00'.repeat(32)] });
  set.apply(frame(7, 0, { value }));
  assert.equal(set.find(peer), undefined);
  assert.equal(set.greet(hello), true);
  assert.equal(set.greet({ ...hello, anchors: ['00'.repeat(32)] }), false);
  assert.equal(set.find(peer)?.status, 'revoked');
});

test('frames apply once, in order, and none may be missing', () => {
  const set = setWith(frame(10, 0, {}), frame(20, 10, {}));
  const before = set.size;
  assert.throws(() => set.apply(frame(20, 10, {})), { code: 'ERR_REVOCATION_ORDER' });
  assert.throws(() => set.apply(frame(15, 10, {})), { code: 'ERR_REVOCATION_ORDER' });
  assert.throws(() => set.apply(frame(40, 30, { value: 'b2' })), { code: 'ERR_REVOCATION_GAP' });
  assert.throws(() => set.apply(frame(40, 20, { by: 'provisioner' })), {
    code: 'ERR_REVOCATION_UNMATCHABLE',
  });
  assert.deepEqual([set.position, set.size], [20, before]);
  assert.equal(set.hasCaughtUp(20), true);
  assert.equal(set.hasCaughtUp(30), false);
  assert.throws(() => set.hasCaughtUp(10), { code: 'ERR_REVOCATION_BEHIND' });
  assert.throws(() => set.greet({ ...hello, position: 10 }), { code: 'ERR_REVOCATION_BEHIND' });
  assert.throws(() => set.greet({ ...hello, trustDomain: 'other.example' }), {
    code: 'ERR_REVOCATION_AUTHORITY',
  });
});

test('whatever is lost, doubled or swapped on the way, the set ends at a true prefix', () => {
  const frames = Array.from({ length: 8 }, (_, i) =>
    frame((i + 1) * 10, i * 10, { value: `${(i + 1).toString(16)}f` }),
  );
  fc.assert(
    fc.property(fc.array(fc.nat(7), { maxLength: 30 }), (order) => {
      const set = setWith();
      for (const index of order) {
        try {
          set.apply(frames[index] as RevocationFrame);
        } catch {
          // refused: nothing changed
        }
      }
      assert.equal(set.size, set.position / 10);
      for (const [index, each] of frames.entries()) {
        const leaf = {
          serial: new Uint8Array([1]),
          serialHex: each.value,
          spki: { raw: new Uint8Array() },
        };
        const peer = { anchorFingerprint: anchor, spiffeId: undefined, chain: [leaf] };
        assert.equal(set.find(peer) !== undefined, index * 10 < set.position);
      }
    }),
  );
});

test('a hundred thousand revocations cost little memory and no time to ask', () => {
  const set = new RevokedSet();
  set.greet(hello);
  const before = process.memoryUsage().heapUsed;
  for (let i = 1; i <= 100_000; i += 1) {
    const value = toHex(serialForPosition(i, new Uint8Array(12).fill(7)));
    set.apply(frame(i, i - 1, { value }));
  }
  const bytesEach = (process.memoryUsage().heapUsed - before) / 100_000;
  assert.ok(bytesEach < 600, `${bytesEach} bytes a revocation`);
  const peer = peerAt(100_001);
  const start = process.hrtime.bigint();
  for (let i = 0; i < 10_000; i += 1) set.find(peer);
  const nsEach = Number(process.hrtime.bigint() - start) / 10_000;
  assert.ok(nsEach < 20_000, `${nsEach} ns a question`);
});

test('a prefix covers whole segments below it, what was ordered before, and not the authority itself', () => {
  const set = setWith(
    frame(7, 0, { by: 'spiffe-prefix', value: 'spiffe://example.com/ns/a/' }),
    frame(8, 7, { by: 'spiffe-prefix', value: 'spiffe://example.com/countersign/' }),
  );
  const byOf = (position: number, path: string) =>
    set.find(peerAt(position, `spiffe://example.com/${path}`))?.by;
  assert.equal(byOf(5, 'ns/a/b/c'), 'spiffe-prefix');
  assert.deepEqual(
    [byOf(9, 'ns/a/b'), byOf(5, 'ns/a'), byOf(5, 'ns/ab')],
    Array(3).fill(undefined),
  );
  assert.equal(byOf(5, 'countersign/ca'), undefined);
});

test('an issuer covers what its key signed before; with a block whatever it signed', () => {
  const key = createHash('sha256').update(between.certificate.spki.raw).digest('hex');
  const value = `between ${key},${'ab'.repeat(32)}`;
  const set = setWith(frame(7, 0, { by: 'issuer', value, reason: 'superseded' }));
  assert.deepEqual([set.find(peerAt(5))?.by, set.find(peerAt(9))], ['issuer', undefined]);
  set.apply(frame(8, 7, { by: 'issuer', value, reason: 'cACompromise', block: true }));
  assert.equal(set.find(peerAt(9))?.reason, 'cACompromise');
});

const covered = (page: number, ...runs: number[]): CoveredFrame => ({
  type: 'covered',
  position: 20,
  page,
  runs,
});

test('what no certificate shows is covered by positions that were told ahead, all of them or none', () => {
  const told = { by: 'provisioner', value: 'mine', pages: 2 } as const;
  const set = setWith();
  set.cover(covered(0, 3, 5));
  assert.throws(() => set.apply(frame(20, 0, told)), { code: 'ERR_REVOCATION_GAP' });
  assert.throws(() => set.cover(covered(2, 9, 9)), { code: 'ERR_REVOCATION_GAP' });
  assert.throws(() => set.cover(covered(1, 5, 9)), { code: 'ERR_REVOCATION_GAP' });
  assert.equal(set.find(peerAt(4)), undefined);
  set.cover(covered(0, 3, 5, 9, 9));
  set.cover(covered(1, 11, 900_000));
  set.apply(frame(20, 0, told));
  const found = [2, 3, 5, 6, 9, 10, 11, 900_000, 900_001].map((at) => set.find(peerAt(at))?.by);
  const yes = 'provisioner';
  assert.deepEqual(found, [undefined, yes, yes, undefined, yes, undefined, yes, yes, undefined]);
  // Pages of a connection that broke off are of no use in the next.
  set.cover(covered(0, 1, 1));
  set.greet(hello);
  set.apply(frame(21, 20, { value: 'b1' }));
});

test('a hold is over with its release, and takes nothing from what is revoked for good', () => {
  const peer = peerAt(5);
  const value = peer.chain[0]?.serialHex ?? '';
  const set = setWith(frame(7, 0, { value, reason: 'certificateHold' }));
  assert.equal(set.find(peer)?.reason, 'certificateHold');
  set.apply(frame(8, 7, { value, reason: 'removeFromCRL' }));
  assert.equal(set.find(peer), undefined);
  set.apply(frame(9, 8, { by: 'token', value: 'ab'.repeat(8), reason: 'superseded', pages: 0 }));
  set.apply(frame(10, 9, { value }));
  set.apply(frame(11, 10, { value, reason: 'certificateHold' }));
  set.apply(frame(12, 11, { value, reason: 'removeFromCRL' }));
  assert.equal(set.find(peer)?.reason, 'keyCompromise');
  set.cover({ ...covered(0, 6, 6), position: 13 });
  const told = { by: 'time', value: '2026-01-01T00:00:00.000Z/..', pages: 1 } as const;
  set.apply(frame(13, 12, { ...told, reason: 'certificateHold' }));
  assert.equal(set.find(peerAt(6))?.by, 'time');
  set.apply(frame(14, 13, { ...told, reason: 'removeFromCRL', pages: 0 }));
  assert.equal(set.find(peerAt(6)), undefined);
});

test('serials are forgotten a day after their certificates ended, and nothing else is', () => {
  const hour = 3_600_000;
  const frames = Array.from({ length: 100 }, (_, i) => {
    const value = (0x1000 + i).toString(16);
    return frame(i + 1, i, { value, until: at + i * hour });
  });
  const set = setWith(...frames, frame(101, 100, { by: 'key', value: 'ab'.repeat(32) }));
  set.forget(at);
  assert.equal(set.size, 101);
  set.forget(at + 50 * hour + 24 * hour);
  assert.equal(set.size, 51);
  set.forget(at + 1000 * hour);
  assert.equal(set.size, 1);
});

test('by a proof key, what it vouched for is covered beside what it is in, and both until its release', () => {
  const value = createHash('sha256')
    .update(peerAt(9).chain[0]?.spki.raw ?? '')
    .digest('hex');
  const set = new RevokedSet();
  set.greet(hello);
  set.cover(covered(0, 5, 5, 7, 7));
  const held = { by: 'key', value, reason: 'certificateHold' } as const;
  set.apply(frame(30, 0, { ...held, pages: 1 }));
  const stateOf = (position: number) => set.find(peerAt(position))?.by;
  assert.deepEqual([5, 6, 7].map(stateOf), ['key', undefined, 'key']);
  const another = { ...frame(40, 30, { ...held, reason: 'removeFromCRL' }) };
  set.apply(another);
  assert.deepEqual([5, 6, 7].map(stateOf), [undefined, undefined, undefined]);
});

test('a question is answered by the rules that would cut, and changes nothing', () => {
  const set = setWith(frame(7, 0, { value: 'b1' }));
  const question = { type: 'question', position: 7, id: 'ab'.repeat(8), below: 30 } as const;
  set.cover(covered(0, 5, 5));
  const told = set.covered({ ...question, by: 'provisioner', value: 'mine', pages: 1 });
  assert.deepEqual([told(peerAt(5)), told(peerAt(6))], [true, false]);
  const named = set.covered({ ...question, by: 'spiffe-id', value: 'spiffe://example.com/a' });
  assert.deepEqual([named(peerAt(6)), named(peerAt(40))], [true, false]);
  assert.equal(set.find(peerAt(5)), undefined);
  assert.equal(set.size, 1);
});
