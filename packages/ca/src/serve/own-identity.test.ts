import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { noLog, noMeter } from '@countersign/base';
import { testClock } from '@countersign/testkit';
import { caYaml } from '../../test/api-under-test.ts';
import { parseCaConfig } from '../ca-config.ts';
import { ephemeralAuthority } from '../ephemeral-authority.ts';
import { OwnIdentity } from './own-identity.ts';

const hour = 3_600_000;

describe('own identity of the authority', () => {
  async function start() {
    const clock = testClock();
    const authority = await ephemeralAuthority({ config: parseCaConfig(caYaml, 'ca.yaml'), clock });
    const options = { authority, dns: [], ip: ['127.0.0.1'], ttlMs: hour };
    const identity = await OwnIdentity.start({ ...options, clock, log: noLog, meter: noMeter });
    return { clock, authority, identity };
  }

  /** Issuing takes real time, which the clock knows nothing of. */
  async function until(holds: () => boolean): Promise<void> {
    for (let i = 0; i < 2000 && !holds(); i += 1) await wait(2);
    assert.ok(holds());
  }

  it('is issued through the ledger and renewed at half its lifetime, and tells who listens', async () => {
    const { clock, authority, identity } = await start();
    const first = identity.svid();
    let told = 0;
    identity.onChange(() => {
      told += 1;
    });
    assert.equal(first.spiffeId.toString(), authority.ownSpiffeId);
    assert.ok((await authority.ledger.certificate(first.serialHex)) !== undefined);
    await clock.advance(hour / 2 - 60_000);
    assert.equal(identity.svid(), first);
    await clock.advance(60_000);
    await until(() => told === 1);
    assert.notEqual(identity.svid().serialHex, first.serialHex);
    assert.ok(identity.svid().notAfter > first.notAfter);
    identity.stop();
  });

  it('keeps the old one when a renewal is refused, and tries again', async () => {
    const { clock, authority, identity } = await start();
    const first = identity.svid();
    let asked = 0;
    const { ledger } = authority;
    const intend = ledger.intend.bind(ledger);
    Object.assign(ledger, {
      intend(draft: Parameters<typeof intend>[0]) {
        asked += 1;
        if (asked < 3) throw new Error('the disk is full');
        return intend(draft);
      },
    });
    // To the very moment, half of the life that began a minute ago: the next tries are beyond it.
    await clock.advance(hour / 2 - 30_000);
    await until(() => asked === 1);
    assert.equal(identity.svid(), first);
    await clock.advance(1000);
    await until(() => asked === 2);
    assert.equal(identity.svid(), first);
    await clock.advance(2000);
    await until(() => identity.svid() !== first);
    assert.equal(asked, 3);
    identity.stop();
  });

  it('looks once more, and not once each, for revocations that come together, and says what it hangs on', async () => {
    const { clock, authority, identity } = await start();
    const { ledger } = authority;
    const issuer = identity.svid().chain[1];
    assert.ok(issuer !== undefined);
    const [begun, going] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const judgeOwn = authority.judgeOwn.bind(authority);
    let asked = 0;
    authority.judgeOwn = async (chain) => {
      asked += 1;
      begun.resolve();
      await going.promise;
      return judgeOwn(chain);
    };
    const looking = identity.recheck();
    await begun.promise;
    const order = { by: 'serial', reason: 'superseded', orderedBy: 'operator' } as const;
    await ledger.revoke({ ...order, value: issuer.serialHex });
    for (let i = 0; i < 10; i += 1) await identity.recheck();
    going.resolve();
    await looking;
    assert.equal(asked, 2);
    assert.match(identity.finding ?? '', /hangs on "services", which is revoked/);
    // Renewed at half its life all the same, by the only one there is: that says no less.
    const first = identity.svid();
    await clock.advance(hour / 2);
    await until(() => identity.svid() !== first);
    await until(() => asked === 3);
    assert.match(identity.finding ?? '', /hangs on "services", which is revoked/);
    identity.stop();
  });

  it('does not start without a first certificate', async () => {
    const clock = testClock();
    const authority = await ephemeralAuthority({ config: parseCaConfig(caYaml, 'ca.yaml'), clock });
    const dns = ['ca.elsewhere.example'];
    const options = { authority, dns, ip: [], ttlMs: hour, clock, log: noLog, meter: noMeter };
    await assert.rejects(OwnIdentity.start(options), { code: 'ERR_POLICY_NO_ISSUER' });
  });
});
