import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, it } from 'node:test';
import { type Meter, noMeter } from '@countersign/base';
import { parseCertificate } from '@countersign/x509';
import {
  issuedOf,
  payments,
  peerOf,
  refused,
  request,
  testAuthority,
} from '../test/authority-under-test.ts';
import type { Authority, Caller, Issued, RevokeOrder } from './index.ts';

const orders = 'spiffe://example.com/ns/prod/sa/orders';
const admin = 'spiffe://example.com/ns/ops/sa/admin';
const edge = 'spiffe://example.com/ns/edge/sa/gateway';
const operator: Caller = { kind: 'operator' };

async function issue(authority: Authority, spiffeId: string): Promise<Issued> {
  return issuedOf(await authority.issue({ csr: await request(), spiffeId }));
}

function order(over: Partial<RevokeOrder>): RevokeOrder {
  return { by: 'spiffe-id', value: payments, reason: 'unspecified', waitMs: 0, ...over };
}

describe('revoking', () => {
  it('is one append that covers what was ordered before, and nothing after', async () => {
    const authority = await testAuthority();
    const [one, two] = [await issue(authority, payments), await issue(authority, payments)];
    const innocent = await issue(authority, orders);
    const answer = await authority.revoke(order({ reason: 'keyCompromise' }), operator);
    assert.ok(answer.ok);
    assert.equal(answer.matched, 2);
    assert.equal(answer.dryRun, false);
    const later = await issue(authority, payments);
    const statusOf = async ({ serialHex }: Issued) =>
      (await authority.ledger.certificateStatus(serialHex)).status;
    assert.deepEqual(await Promise.all([one, two, innocent, later].map(statusOf)), [
      'revoked',
      'revoked',
      'good',
      'good',
    ]);
  });

  it('appends nothing on a dry run, and says what it would cover', async () => {
    const authority = await testAuthority();
    await issue(authority, payments);
    const before = await authority.ledger.status();
    const answer = await authority.revoke(order({ dryRun: true }), operator);
    assert.ok(answer.ok && answer.dryRun && answer.matched === 1);
    assert.deepEqual(await authority.ledger.status(), before);
  });

  it('takes the whole trust domain without a word on a dry run alone, and counts a repeat as nothing', async () => {
    const authority = await testAuthority();
    const issued = await issue(authority, payments);
    const whole = order({ by: 'spiffe-prefix', value: 'spiffe://example.com/' });
    const dry = await authority.revoke({ ...whole, dryRun: true }, operator);
    assert.ok(dry.ok && dry.matched === 1);
    refused(await authority.revoke(whole, operator), 'ERR_REVOKE_WHOLE_DOMAIN');
    const one = order({ by: 'serial', value: issued.serialHex });
    const counts: unknown[] = [];
    for (const dryRun of [false, true, false]) {
      const answer = await authority.revoke({ ...one, dryRun }, operator);
      counts.push(answer.ok && answer.matched);
    }
    assert.deepEqual(counts, [1, 0, 0]);
  });

  it('is counted once, however often it is repeated', async () => {
    const counted: unknown[] = [];
    const meter: Meter = {
      ...noMeter,
      counter: ({ name }) => ({
        add: (by, labels) => name === 'countersign_revocations_total' && counted.push([by, labels]),
      }),
    };
    const authority = await testAuthority({ meter });
    const issued = await issue(authority, payments);
    const serial = order({ by: 'serial', value: issued.serialHex });
    const orders = [serial, serial, order({}), order({ block: true }), order({ block: true })];
    for (const each of orders) assert.ok((await authority.revoke(each, operator)).ok);
    // The name was revoked anew, since what was issued in between is covered, and blocked once.
    const reason = 'unspecified';
    const byName = [1, { by: 'spiffe-id', reason }];
    assert.deepEqual(counted, [[1, { by: 'serial', reason }], byName, byName]);
  });

  it('knows serials and keys as people paste them', async () => {
    const authority = await testAuthority();
    const issued = await issue(authority, payments);
    const colons = issued.serialHex.toUpperCase().replace(/(..)(?=.)/g, '$1:');
    const bySerial = await authority.revoke(order({ by: 'serial', value: colons }), operator);
    assert.ok(bySerial.ok && bySerial.matched === 1, JSON.stringify(bySerial));
    const key = hash('sha256', parseCertificate(issued.chain[0]).spki.raw);
    const byKey = await authority.revoke(order({ by: 'key', value: key.toUpperCase() }), operator);
    assert.ok(byKey.ok && byKey.matched === 1);
    refused(
      await authority.revoke(order({ by: 'serial', value: '01ff' }), operator),
      'ERR_LEDGER_CERTIFICATE_UNKNOWN',
    );
    refused(
      await authority.revoke(order({ value: 'spiffe://other.example/a' }), operator),
      'ERR_POLICY_SPIFFE_ID',
      /is of trust domain "other\.example"/,
    );
  });

  it('is for a workload about itself, and for administrators about everybody', async () => {
    const authority = await testAuthority();
    const [mine, theirs] = [await issue(authority, payments), await issue(authority, orders)];
    const caller: Caller = { kind: 'peer', peer: peerOf(authority, mine) };
    const chief: Caller = { kind: 'peer', peer: peerOf(authority, await issue(authority, admin)) };

    const forbidden = [
      order({ value: orders }),
      order({ by: 'serial', value: theirs.serialHex }),
      order({ by: 'key', value: hash('sha256', parseCertificate(theirs.chain[0]).spki.raw) }),
      order({ by: 'provisioner', value: 'operator' }),
      order({ block: true }),
      order({ value: orders, dryRun: true }),
    ];
    const before = await authority.ledger.status();
    for (const each of forbidden)
      refused(await authority.revoke(each, caller), 'ERR_REVOKE_FORBIDDEN');
    assert.deepEqual(await authority.ledger.status(), before);

    assert.ok((await authority.revoke(order({ value: orders }), chief)).ok);
    const again = await issue(authority, payments);
    assert.ok((await authority.revoke(order({ by: 'serial', value: again.serialHex }), caller)).ok);
    assert.ok((await authority.revoke(order({}), caller)).ok);
    const records = await authority.ledger.revocationsAfter(0, 10);
    assert.deepEqual(
      records.map(({ orderedBy }) => orderedBy),
      [admin, payments, payments],
    );
  });

  it('blocks nobody of the authority itself, which could not serve again', async () => {
    const authority = await testAuthority();
    const own = order({ value: authority.ownSpiffeId });
    refused(
      await authority.revoke({ ...own, block: true }, operator),
      'ERR_POLICY_SPIFFE_ID',
      /cannot be blocked/,
    );
    assert.equal((await authority.ledger.status()).revocations, 0);
    assert.ok((await authority.revoke(own, operator)).ok);
    assert.ok((await authority.issueOwn({ csr: await request(), dns: [], ip: [] })).ok);
  });

  it('waits for the live leases, and tells who has not acknowledged', async () => {
    const authority = await testAuthority();
    const { ledger } = authority;
    const hold = (instance: string, position: number) =>
      ledger.holdLease({
        instance,
        spiffeId: edge,
        maxSilenceMs: 60_000,
        position,
        closed: { closed: 3, kept: 4, elapsedMs: 1 },
      });
    await hold('edge-one-1', 0);
    await hold('edge-two-2', 0);
    await issue(authority, payments);
    const quick = authority.revoke(order({ waitMs: 2000 }), operator);
    const stop = ledger.onCommit((position) => {
      void hold('edge-one-1', position);
      void hold('edge-two-2', position);
    });
    const answer = await quick;
    stop();
    assert.ok(answer.ok);
    assert.equal(answer.acknowledgedBy, 2);
    assert.equal(answer.closed, 6);

    const silent = await authority.revoke(order({ waitMs: 5 }), operator);
    assert.ok(silent.ok);
    assert.equal(silent.acknowledgedBy, 0);
    assert.deepEqual(
      silent.gateways.map(({ id, acknowledged }) => [id, acknowledged]),
      [
        ['edge-one-1', false],
        ['edge-two-2', false],
      ],
    );
  });
});

describe('leases', () => {
  it('are for the gateways that ca.yaml names', async () => {
    const authority = await testAuthority();
    assert.equal(authority.mayHoldLease(peerOf(authority, await issue(authority, edge))), true);
    assert.equal(
      authority.mayHoldLease(peerOf(authority, await issue(authority, payments))),
      false,
    );
  });
});
