import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
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
});
