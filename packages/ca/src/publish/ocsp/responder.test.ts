import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { noLog, noMeter } from '@countersign/base';
import { testCa, testClock } from '@countersign/testkit';
import { memoryLedger } from '../../ledger/memory-ledger.ts';
import { PublishMetrics } from '../publish-metrics.ts';
import type { PublishingIssuer } from '../publishing-issuer.ts';
import { Responder } from './responder.ts';

const hour = 3_600_000;

function responderOf(options: { readonly issuerHours?: number } = {}) {
  const clock = testClock();
  const notAfter = clock.now() + (options.issuerHours ?? 1000) * hour;
  const ca = testCa({ at: clock.now(), notAfter }).intermediate({ notAfter });
  const ledger = memoryLedger({ clock });
  const issuer: PublishingIssuer = {
    name: 'services',
    certificate: ca.certificate,
    signer: async () => ca.signer,
  };
  const config = { validityMs: hour, responderMs: 48 * hour };
  const metrics = new PublishMetrics(noMeter);
  const responder = new Responder({ issuer, config, ledger, clock, log: noLog, metrics });
  return { clock, ledger, issuer, responder, ca };
}

describe('the responder of an issuer', () => {
  it('is made once for all who ask first, and stays for half its lifetime', async () => {
    const { clock, ledger, responder } = responderOf();
    const all = await Promise.all(Array.from({ length: 10 }, () => responder.current()));
    assert.equal(new Set(all).size, 1);
    await clock.advance(23 * hour);
    assert.equal(await responder.current(), all[0]);
    assert.equal((await ledger.status()).issued, 1);
  });

  it('is replaced in the background, so that nobody waits', async () => {
    const { clock, ledger, responder } = responderOf();
    const first = await responder.current();
    await clock.advance(25 * hour);
    assert.equal(responder.current(), first, 'at once');
    await new Promise((resolve) => setTimeout(resolve, 50));
    const second = await responder.current();
    assert.ok(second.notAfter > first.notAfter);
    assert.equal((await ledger.status()).issued, 2);
  });

  it('stays while its successor cannot be signed, and is then asked for again', async () => {
    const { clock, issuer, responder, ca } = responderOf();
    const first = await responder.current();
    const broken = async () => {
      throw new TypeError('the token is gone');
    };
    Object.assign(issuer, { signer: broken });
    await clock.advance(25 * hour);
    for (let i = 0; i < 5; i += 1) assert.equal(await responder.current(), first);
    await new Promise((resolve) => setTimeout(resolve, 20));
    // Too old for an answer of its full validity: no answer rather than one that outlives its signer.
    await clock.advance(23 * hour);
    await assert.rejects(async () => await responder.current());
    Object.assign(issuer, { signer: async () => ca.signer });
    await clock.advance(60_000);
    assert.ok((await responder.current()).notAfter > first.notAfter);
  });

  it('ends with its issuer, and is not made over and over before that', async () => {
    const { clock, ledger, issuer, responder } = responderOf({ issuerHours: 3 });
    const first = await responder.current();
    assert.equal(first.notAfter, issuer.certificate.notAfter);
    await clock.advance(2.5 * hour);
    for (let i = 0; i < 5; i += 1) assert.equal(await responder.current(), first);
    assert.equal((await ledger.status()).issued, 1);
  });
});
