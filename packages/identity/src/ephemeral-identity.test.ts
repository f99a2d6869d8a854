import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Clock, systemClock } from '@countersign/base';
import { testCa } from '@countersign/testkit';
import { revealJoinToken } from '@countersign/wire';
import { encodePem } from '@countersign/x509';
import { type HttpsDouble, httpsDouble, paymentsId } from './authority-double.suite.ts';
import { identity } from './identity-entry.ts';

let authority: HttpsDouble;
before(async () => {
  authority = await httpsDouble();
});
after(() => authority.close());

/** A clock that can be set forward, as it is for an instance that was frozen. */
function frozenClock(): Clock & { ahead: number } {
  return {
    ahead: 0,
    now() {
      return systemClock.now() + this.ahead;
    },
    monotonic: () => systemClock.monotonic(),
    sleep: (ms, options) => systemClock.sleep(ms, options),
  };
}

test('an instance enrols once, whoever asks, and fetches its token while the key is made', async () => {
  let fetched = 0;
  const options = {
    url: authority.url,
    token: async () => {
      fetched += 1;
      return revealJoinToken(authority.token);
    },
  };
  const [first, second] = await Promise.all([
    identity.ephemeral(options),
    identity.ephemeral(options),
  ]);
  const third = await identity.ephemeral(options);
  assert.equal(first, second);
  assert.equal(first, third);
  assert.equal(fetched, 1);
  assert.equal(first.current().svid.spiffeId.toString(), paymentsId);
  await first.stop();
});

test('an instance that was frozen past half of its certificate renews, past its end enrols anew', async () => {
  const clock = frozenClock();
  let fetched = 0;
  const options = {
    ...{ url: authority.url, spiffeId: paymentsId, clock },
    token: () => {
      fetched += 1;
      return revealJoinToken(authority.token);
    },
  };
  const live = await identity.ephemeral(options);
  const serials = [live.svid().serialHex];
  clock.ahead = authority.ttlMs * 0.6;
  serials.push((await identity.ephemeral(options)).svid().serialHex);
  assert.equal(fetched, 1);
  authority.answer = (path, response) => {
    if (path !== '/v1/renew') return false;
    response.destroy();
    return true;
  };
  clock.ahead = 0;
  authority.ttlMs = 1;
  const short = await identity.ephemeral({ ...options, url: `${authority.url}/` });
  await systemClock.sleep(5);
  authority.ttlMs = 3_600_000;
  clock.ahead = 2000;
  const anew = await identity.ephemeral({ ...options, url: `${authority.url}/` });
  assert.notEqual(anew, short);
  assert.equal(fetched, 3);
  assert.equal(new Set([...serials, anew.svid().serialHex]).size, 3);
  authority.answer = undefined;
  await Promise.all([live.stop(), anew.stop()]);
});

test('an instance that has the roots beside its code does not ask for them, and believes only the pinned one', async () => {
  const { url, anchors: bundle, ca } = authority;
  const token = revealJoinToken(authority.token);
  const before = authority.seen.length;
  // Written so, it is none that an instance of the tests before has.
  const again = url.replace('https', 'HTTPS');
  const live = await identity.ephemeral({ url: again, token, bundle, spiffeId: paymentsId });
  assert.deepEqual(
    authority.seen.slice(before).map(({ path }) => path),
    ['/v1/enrol'],
  );
  await live.stop();
  const other = testCa({ at: ca.root.notBefore }).root;
  const wrong = encodePem('CERTIFICATE', other.raw);
  const at = `https://localhost:${new URL(url).port}`;
  await assert.rejects(identity.ephemeral({ url: at, token, bundle: wrong }), {
    code: 'ERR_IDENTITY_ROOT',
  });
});

test('an instance enrols over the connection that the roots came from, and over another where that was closed', async () => {
  const { url, seen } = authority;
  const token = revealJoinToken(authority.token);
  for (const [closes, connections] of [
    [false, 1],
    [true, 2],
  ] as const) {
    const before = seen.length;
    const sockets = new Set<unknown>();
    authority.answer = (path, response) => {
      sockets.add(response.socket);
      if (closes && path === '/v1/bundle.pem') response.setHeader('connection', 'close');
      return false;
    };
    // Written so, it is none that an instance of the other tests has.
    const at = `${url.replace('127.0.0.1', '127.000.000.001')}${closes ? '/' : ''}`;
    const live = await identity.ephemeral({ url: at, token });
    authority.answer = undefined;
    assert.equal(sockets.size, connections);
    assert.deepEqual(
      seen.slice(before).map(({ path, hadToken }) => [path, hadToken]),
      [
        ['/v1/bundle.pem', false],
        ['/v1/enrol', true],
      ],
    );
    await live.stop();
  }
});

test('a failure is told, and not remembered', async () => {
  const options = { url: `${authority.url}/` };
  const failing = identity.ephemeral({
    ...options,
    token: () => Promise.reject(new Error('no metadata server')),
  });
  await assert.rejects(failing, { code: 'ERR_IDENTITY_TOKEN', message: /no metadata server/ });
  await assert.rejects(identity.ephemeral({ ...options, token: 'cst1.x' }), {
    code: 'ERR_WIRE_TOKEN',
  });
  const kinds: readonly (readonly [token: unknown, why: RegExp])[] = [
    [undefined, /: it is undefined, expected the text of a join token/],
    [Buffer.from('cst1.secret'), /: it is an object \(Buffer\)/],
    [{ value: 'cst1.secret' }, /: it is an object \(Object\)/],
    [async () => ({ token: 'cst1.secret' }), /: it is an object \(Object\)/],
    [async () => undefined, /: it is undefined/],
    [' ', /: it is empty/],
    ['ghp_secret', /: it is neither a join token nor a JWT/],
  ];
  for (const [token, message] of kinds) {
    const asked = identity.ephemeral({ ...options, token: token as string });
    await assert.rejects(asked, (thrown: Error) => {
      assert.match(thrown.message, message);
      assert.doesNotMatch(thrown.message, /secret/);
      assert.equal((thrown as { code?: unknown }).code, 'ERR_IDENTITY_TOKEN');
      return true;
    });
  }
  const live = await identity.ephemeral({ ...options, token: revealJoinToken(authority.token) });
  assert.equal(live.svid().spiffeId.toString(), paymentsId);
  await live.stop();
});
