import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { requestPem, VaultWorld } from '../../test/vault-under-test.ts';
import { authRoutes } from './auth/auth-routes.ts';
import { tokenRoutes } from './auth/token-routes.ts';
import { pkiRoutes } from './pki/pki-routes.ts';
import { sysRoutes } from './sys/sys-routes.ts';
import type { VaultRoute } from './vault-call.ts';

interface Place {
  readonly path: string;
  readonly method: string;
  readonly fields: readonly string[];
}

const methods = {
  read: 'GET',
  list: 'LIST',
  update: 'POST',
  patch: 'PATCH',
  delete: 'DELETE',
} as const;

function placesOf<M>(prefix: string, routes: readonly VaultRoute<M>[]): Place[] {
  return routes.flatMap(({ path, on, fields = {} }) =>
    Object.keys(on).map((operation) => ({
      path: `${prefix}${path}`,
      method: methods[operation as keyof typeof methods],
      fields: Object.keys(fields),
    })),
  );
}

/** Everything but what would take away what the test asks. */
const places: readonly Place[] = [
  ...placesOf('pki/', pkiRoutes),
  ...placesOf('made/', pkiRoutes),
  ...placesOf('sys/', sysRoutes),
  ...placesOf('auth/token/', tokenRoutes),
  ...Object.entries(authRoutes).flatMap(([type, routes]) => placesOf(`auth/${type}/`, routes)),
].filter(({ path, method }) => method !== 'DELETE' && !path.endsWith('issuer/:ref/revoke'));

describe('the Vault edge, asked for anything', () => {
  let world: VaultWorld;
  let csr = '';
  before(async () => {
    world = await VaultWorld.start();
    csr = await requestPem();
    await world.must('POST', 'sys/mounts/made', { type: 'pki' });
    await world.must('POST', 'made/root/generate/internal', {
      common_name: 'Made',
      key_type: 'ec',
    });
    for (const mount of ['pki', 'made']) {
      await world.must('POST', `${mount}/roles/web`, { allow_any_name: true, key_type: 'ec' });
    }
    for (const type of Object.keys(authRoutes))
      await world.must('POST', `sys/auth/${type}`, { type });
    await world.must('POST', 'auth/approle/role/web', { token_policies: 'web' });
    const accounts = { bound_service_account_names: 'a', bound_service_account_namespaces: 'b' };
    await world.must('POST', 'auth/kubernetes/role/web', accounts);
    const bound = { role_type: 'jwt', user_claim: 'sub', bound_audiences: 'us' };
    await world.must('POST', 'auth/jwt/role/web', bound);
    await world.must('POST', 'auth/kubernetes/config', { kubernetes_host: 'http://127.0.0.1:1' });
  });
  after(() => world.close());

  it('answers in its own words, and breaks at nothing', async () => {
    const odd = fc.oneof(
      fc.constantFrom(
        '',
        '*',
        '../..',
        '-1',
        '1h',
        'null',
        '*.example.test',
        'ec',
        'rsa',
        'root',
        'default',
        '\u0000',
        'é',
        '::1',
        '127.0.0.1/8',
      ),
      fc.constantFrom(
        'spiffe://example.com/x',
        'http://127.0.0.1:1/',
        '2030-01-01T00:00:00Z',
        '-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----',
      ),
      fc.integer(),
      fc.boolean(),
      fc.constant(null),
      fc.string({ maxLength: 80 }),
      fc.array(fc.string({ maxLength: 20 }), { maxLength: 4 }),
      fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
    );
    const name = fc.oneof(
      fc.constantFrom('web', 'default', 'none', 'internal', 'pki', 'made/tune', '11:22'),
      fc.string({ minLength: 1, maxLength: 30 }),
    );
    const call = fc
      .record({
        place: fc.constantFrom(...places),
        names: fc.array(name, { minLength: 4, maxLength: 4 }),
      })
      .chain(({ place, names }) =>
        fc.record({
          place: fc.constant(place),
          names: fc.constant(names),
          body: fc.dictionary(fc.constantFrom('csr', 'common_name', ...place.fields), odd, {
            maxKeys: 8,
          }),
          isSent: fc.boolean(),
        }),
      );
    let calls = 0;
    await fc.assert(
      fc.asyncProperty(call, async ({ place, names, body, isSent }) => {
        const left = [...names];
        const path = place.path.replaceAll(/[:*]\w+/g, () => encodeURIComponent(left.pop() ?? 'x'));
        const sent = isSent ? { ...body, csr } : body;
        calls += 1;
        // From everywhere: an address whose logins fail is not looked at for long.
        const from = `10.${(calls >> 16) & 255}.${(calls >> 8) & 255}.${calls & 255}`;
        const { status, text } = await world.ask(place.method, path, sent, { from });
        const isTold = status !== 503 || /cannot be had|cannot be asked|not at hand/.test(text);
        assert.ok(isTold, `${place.method} ${path} ${JSON.stringify(sent)}: ${status} ${text}`);
        if (status >= 400) assert.ok(Array.isArray(JSON.parse(text).errors), text);
      }),
      { numRuns: 10_000, endOnFailure: true },
    );
    // The innocent caller is served as before.
    await world.must('POST', 'sys/policies/acl/still', {
      policy: 'path "pki/ca" { capabilities = ["read"] }',
    });
    await world.must('POST', 'pki/roles/still', { allow_any_name: true, key_type: 'ec' });
    await world.must('POST', 'pki/issue/still', { common_name: 'a.example.test' });
  });
});
