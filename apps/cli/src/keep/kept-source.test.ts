import assert from 'node:assert/strict';
import { test } from 'node:test';
import { noLog } from '@countersign/base';
import type { Issuer, NamedCertificate } from '@countersign/identity';
import { testClock } from '@countersign/testkit';
import { OtherIssuers, type SourceTools } from './kept-source.ts';

const day = 86_400_000;

/** An issuer that is asked when it wishes to be asked again, and how often it was. */
function world(askAgainMs: number) {
  const clock = testClock();
  let asked = 0;
  const issuer: Issuer = {
    title: 'the issuer',
    issue: () => Promise.reject(new Error('it signs nothing here')),
    async renewalWish() {
      asked += 1;
      return { at: clock.now() + day, askAgainMs };
    },
  };
  const others = new OtherIssuers();
  const { signal } = new AbortController();
  const tools = { cli: { env: {} }, others, clock, log: noLog, signal } as unknown as SourceTools;
  const wish = (serialHex: string) => {
    const held = { chain: [{ serialHex }] } as unknown as NamedCertificate;
    return others.wish(issuer, held, tools);
  };
  return { clock, others, wish, asked: () => asked };
}

test('an issuer is asked when to renew once a day at the least, and no more than once a minute', async () => {
  const never = world(1e15);
  await never.wish('01');
  await never.clock.advance(day - 1);
  await never.wish('01');
  assert.equal(never.asked(), 1);
  await never.clock.advance(2);
  await never.wish('01');
  assert.equal(never.asked(), 2);
  const always = world(0);
  await always.wish('01');
  await always.clock.advance(59_000);
  await always.wish('01');
  assert.equal(always.asked(), 1);
});

test('what issuers wished is forgotten of certificates that were replaced, and at the end', async () => {
  const { others, wish, asked } = world(day);
  for (let serial = 0; serial <= 10_000; serial += 1) await wish(serial.toString(16));
  assert.equal(asked(), 10_001);
  await wish('2710');
  assert.equal(asked(), 10_001);
  await wish('0');
  assert.equal(asked(), 10_002);
  others.close();
  await wish('2710');
  assert.equal(asked(), 10_003);
});
