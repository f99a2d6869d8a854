import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { testClock } from '@countersign/testkit';
import { KeySets } from './key-sets.ts';

test('an issuer that does not answer is asked again after ten seconds, however many tokens come', async (t) => {
  const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
    format: 'jwk',
  });
  let asked = 0;
  let isDown = true;
  const issuer = createServer((_, response) => {
    asked += 1;
    response.statusCode = isDown ? 503 : 200;
    response.end(JSON.stringify({ keys: [{ ...jwk, kid: 'one' }] }));
  });
  issuer.listen(0, '127.0.0.1');
  await once(issuer, 'listening');
  t.after(() => issuer.close());
  const { port } = issuer.address() as AddressInfo;
  const clock = testClock();
  const sets = new KeySets({ allow: ['127.0.0.0/8'], clock });
  const jwksUrl = `http://127.0.0.1:${port}/keys`;
  const keys = (isMissing = false) =>
    sets.keysOf({ jwksUrl, issuer: undefined, ca: undefined }, isMissing);

  // 1. Nothing was ever had: the same refusal, of one request.
  for (let token = 0; token < 3; token += 1) {
    await assert.rejects(keys(), { code: 'ERR_JWT_KEYS', message: /answered 503/ });
  }
  assert.equal(asked, 1);

  // 2. It answers again, and is believed from then on.
  isDown = false;
  await clock.advance(10_000);
  assert.deepEqual(
    (await keys()).map(({ keyId }) => keyId),
    ['one'],
  );
  assert.equal(asked, 2);

  // 3. Down again: the keys that are known go on, and tokens with unknown ones make no requests of their own.
  isDown = true;
  await clock.advance(10_000);
  for (let token = 0; token < 3; token += 1) assert.equal((await keys(true)).length, 1);
  assert.equal(asked, 3);
});
