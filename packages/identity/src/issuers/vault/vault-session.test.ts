import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, noLog, Secret } from '@countersign/base';
import type { IssuerCall, IssuerHttp } from '../issuer-http.ts';
import { VaultSession } from './vault-session.ts';

test('a login that is forgotten is renewed no more, the one after it is', async () => {
  const renewed: unknown[] = [];
  const wakers: (() => void)[] = [];
  let logins = 0;
  const http = {
    async call({ url, headers }: IssuerCall) {
      const isLogin = url.endsWith('/login');
      if (isLogin) logins += 1;
      else renewed.push(headers?.['x-vault-token']);
      const auth = { client_token: `token-${logins}`, lease_duration: 60, renewable: isLogin };
      return { status: 200, headers: {}, text: '', json: { auth } };
    },
  } as unknown as IssuerHttp;
  const clock = {
    now: () => 0,
    monotonic: () => 0,
    sleep: (_ms: number, { signal }: { signal?: AbortSignal } = {}) =>
      new Promise<void>((resolve, reject) => {
        wakers.push(resolve);
        signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      }),
  } as unknown as Clock;
  const roleId = async () => new Secret('role');
  const session = new VaultSession({
    ...{ http, url: 'https://vault.test', headers: {}, clock, log: noLog },
    auth: { method: 'approle', roleId },
  });
  const { signal } = new AbortController();
  await session.token(signal);
  session.forget();
  await session.token(signal);
  for (const wake of wakers) wake();
  await new Promise((resolve) => setImmediate(resolve));
  session.close();
  assert.deepEqual(renewed, ['token-2']);
});
