import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '@countersign/base';
import { startTestDns, type TestDns } from '@countersign/testkit';
import { ClaimValidators } from './validators.ts';

describe('a claim, looked at from several vantages', () => {
  let good: TestDns;
  let forged: TestDns;
  before(async () => {
    [good, forged] = await Promise.all([startTestDns(), startTestDns()]);
    good.texts.set('_acme-challenge.name.test', [hash('sha256', 'token.x', 'base64url')]);
    forged.texts.set('_acme-challenge.name.test', ['something else']);
  });
  after(() => Promise.all([good.close(), forged.close()]));

  async function validate(vantages: readonly (readonly string[])[], mayFail: number) {
    const validators = new ClaimValidators(
      {
        ...{ httpPort: 80, tlsAlpnPort: 443, vantages, mayFail, allow: [], isOpen: false },
        ...{ timeoutMs: 10_000, retryMs: [], sleepMs: 0, alwaysValid: false },
      },
      systemClock,
    );
    const identifier = { type: 'dns', value: 'name.test' } as const;
    const claim = { token: 'token', keyAuthorization: 'token.x', account: 'a' };
    const { signal } = new AbortController();
    return await validators.validate({ type: 'dns-01', identifier, ...claim }, signal);
  }

  it('holds where all of them see it', async () => {
    assert.equal(await validate([[good.address], [good.address]], 0), undefined);
  });

  it('does not hold where one of them is told otherwise', async () => {
    const found = await validate([[good.address], [forged.address], [good.address]], 0);
    assert.equal(found?.type, 'unauthorized');
    assert.match(found?.detail ?? '', /has "something else", expected/);
  });

  it('holds where no more of them disagree than the operator lets', async () => {
    const three = [[good.address], [forged.address], [good.address]];
    assert.equal(await validate(three, 1), undefined);
    const most = [[forged.address], [forged.address], [good.address]];
    const found = await validate(most, 1);
    assert.equal(found?.type, 'unauthorized');
    assert.match(found?.detail ?? '', /\(2 of 3 vantages did not find it, 1 may\)$/);
  });

  it('waits for no silent one once the others have decided it either way', async () => {
    const silent = createSocket('udp4');
    silent.bind(0, '127.0.0.1');
    await once(silent, 'listening');
    const held: (() => void)[] = [];
    let isSilent = true;
    silent.on('message', (query, { port, address }) => {
      const noSuchName = Buffer.from(query);
      noSuchName.writeUInt16BE(0x8183, 2);
      const answer = () => silent.send(noSuchName, port, address);
      if (isSilent) held.push(answer);
      else answer();
    });
    const mute = `127.0.0.1:${silent.address().port}`;
    assert.equal(await validate([[mute], [good.address], [good.address]], 1), undefined);
    const found = await validate([[mute], [forged.address], [good.address]], 0);
    assert.equal(found?.type, 'unauthorized');
    // Whoever waits for an answer asks again before giving it up.
    assert.ok(held.length <= 2, `asked ${held.length} times`);
    isSilent = false;
    for (const answer of held) answer();
    await new Promise<void>((resolve) => silent.close(() => resolve()));
  });
});
