import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkIssuerUrl } from './issuer-http.ts';

test('a URL with a user and a password is refused, and neither is repeated', () => {
  for (const url of ['https://op:hunter2@vault.test/', 'https://op:hunt@er2@vault.test/']) {
    assert.throws(
      () => checkIssuerUrl(url, `Vault at "${url}"`),
      ({ code, message }: { code: string; message: string }) =>
        code === 'ERR_ISSUER_CONFIG' &&
        !/hunt|er2|op:/.test(message) &&
        /vault\.test/.test(message),
    );
  }
});
