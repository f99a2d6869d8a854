import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it, type TestContext } from 'node:test';
import { type TestClock, testClock } from '@countersign/testkit';
import { certificatesFromPem, encodePem } from '@countersign/x509';
import { VaultWorld } from '../../test/vault-under-test.ts';

const hour = 3_600_000;
const open = { token: '' } as const;

describe('tokens of the Vault edge', () => {
  let world: VaultWorld;
  let clock: TestClock;
  before(async () => {
    clock = testClock(Date.now());
    world = await VaultWorld.start(clock);
    await world.must('PUT', 'sys/policies/acl/reader', {
      policy: 'path "pki/roles/*" { capabilities = ["read", "list"] }',
    });
  });
  after(() => world.close());

  const lookUp = (token: string) =>
    world.ask('GET', 'auth/token/lookup-self', undefined, { token });

  it('end by themselves, are renewed up to their bound, and are revoked', async () => {
    const asked = { policies: ['reader'], ttl: '1h', explicit_max_ttl: '3h' };
    const { auth } = (await world.must('POST', 'auth/token/create', asked)).body;
    const token = auth.client_token;
    assert.match(token, /^hvs\.[A-Za-z0-9_-]{43}$/);
    assert.deepEqual((await lookUp(token)).body.data.policies, ['default', 'reader']);
    await clock.advance(0.5 * hour);
    const renewed = await world.must(
      'POST',
      'auth/token/renew-self',
      { increment: '9h' },
      { token },
    );
    assert.equal(renewed.body.auth.lease_duration, 9000);
    assert.match(renewed.body.warnings[0], /exceeded the effective max_ttl/);
    await clock.advance(2.4 * hour);
    assert.equal((await lookUp(token)).status, 200);
    await clock.advance(0.2 * hour);
    assert.equal((await lookUp(token)).status, 403);

    const other = (await world.must('POST', 'auth/token/create', { policies: ['reader'] })).body
      .auth;
    await world.must('POST', 'auth/token/revoke-accessor', { accessor: other.accessor });
    assert.equal((await lookUp(other.client_token)).status, 403);
  });

  it('end with those that made them, give no more than they have, and are used as often as they may', async () => {
    await world.must('PUT', 'sys/policies/acl/maker', {
      policy:
        'path "auth/token/create" { capabilities = ["update"] }\npath "pki/roles" { capabilities = ["list"] }',
    });
    const parent = (await world.must('POST', 'auth/token/create', { policies: ['maker'] })).body
      .auth;
    const by = { token: parent.client_token };
    await world.refused(
      400,
      'child policies must be subset of parent',
      'POST',
      'auth/token/create',
      { policies: ['root'] },
      by,
    );
    await world.refused(400, /orphan token/, 'POST', 'auth/token/create', { no_parent: true }, by);
    const child = (await world.must('POST', 'auth/token/create', { num_uses: 2 }, by)).body.auth;
    const asChild = { token: child.client_token };
    assert.equal((await world.ask('LIST', 'pki/roles', undefined, asChild)).status, 404);
    const both = await Promise.all(
      [1, 2, 3].map(() => world.ask('LIST', 'pki/roles', undefined, asChild)),
    );
    assert.deepEqual(both.map(({ status }) => status).toSorted(), [403, 403, 404]);
    const second = (await world.must('POST', 'auth/token/create', {}, by)).body.auth;
    await world.must('POST', 'auth/token/revoke', { token: parent.client_token });
    assert.equal((await lookUp(second.client_token)).status, 403);
  });

  it('are in the ledger as hashes alone, as secret ids are', async () => {
    const token = await world.tokenFor('path "pki/*" { capabilities = ["read"] }');
    await world.must('POST', 'sys/auth/approle', { type: 'approle' });
    await world.must('POST', 'auth/approle/role/r', { token_policies: 'own' });
    const secret = (await world.must('POST', 'auth/approle/role/r/secret-id')).body.data.secret_id;
    const { ledger } = world.authority;
    const kept = (kind: string, owner: string) =>
      ledger.edgeRecords({ kind, owner, after: '', limit: 1000 });
    const [method] = await kept('vault-auth', 'all');
    const [role] = await kept('vault-auth-role', method?.id ?? '');
    const { instance } = JSON.parse(role?.body ?? '{}').values;
    const secrets = await kept('vault-secret-id', `${method?.id}.${instance}`);
    assert.equal(secrets.length, 1);
    const text = JSON.stringify([await kept('vault-token', 'all'), secrets, role]);
    assert.ok(text.includes('displayName'));
    assert.ok(!text.includes(token) && !text.includes(secret));
  });
});

describe('logins of the Vault edge', () => {
  let world: VaultWorld;
  const claims = (more: object = {}) => ({
    sub: 'ci',
    aud: 'vault',
    iss: 'https://issuer.example',
    exp: Math.floor(Date.now() / 1000) + 600,
    ...more,
  });
  const ours = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const foreign = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  before(async () => {
    world = await VaultWorld.start();
    await world.must('PUT', 'sys/policies/acl/web', {
      policy: 'path "pki/sign/web" { capabilities = ["update"] }',
    });
    for (const type of ['approle', 'jwt', 'kubernetes', 'cert'])
      await world.must('POST', `sys/auth/${type}`, { type });
  });
  after(() => world.close());

  it('by AppRole: the secret id as often and as long as it is good, from where it is', async () => {
    await world.must('POST', 'auth/approle/role/ci', {
      token_policies: 'web',
      token_ttl: '20m',
      secret_id_num_uses: 2,
      secret_id_bound_cidrs: '192.0.2.0/24',
    });
    const role_id = (await world.must('GET', 'auth/approle/role/ci/role-id')).body.data.role_id;
    const secret_id = (
      await world.must('POST', 'auth/approle/role/ci/secret-id', { metadata: '{"job":"7"}' })
    ).body.data.secret_id;
    const login = (more = {}) =>
      world.ask('POST', 'auth/approle/login', { role_id, secret_id }, { ...open, ...more });
    assert.equal((await login({ from: '198.51.100.1' })).status, 400);
    const { auth } = (await login()).body;
    assert.deepEqual(
      [auth.policies, auth.lease_duration, auth.orphan],
      [['default', 'web'], 1200, true],
    );
    assert.deepEqual(auth.metadata, { job: '7', role_name: 'ci' });
    const race = await Promise.all([1, 2, 3].map(() => login()));
    assert.equal(race.filter(({ status }) => status === 200).length, 1);
    assert.deepEqual((await login()).body, { errors: ['invalid role or secret ID'] });
    // A role that is made again is another, whatever its name is.
    const own = { role_id: 'my-own-role-id', token_policies: 'web' };
    await world.must('POST', 'auth/approle/role/again', own);
    const made = await world.must('POST', 'auth/approle/role/again/secret-id');
    const again = { role_id: own.role_id, secret_id: made.body.data.secret_id };
    await world.must('POST', 'auth/approle/login', again, open);
    await world.must('DELETE', 'auth/approle/role/again');
    await world.refused(400, /invalid role/, 'POST', 'auth/approle/login', again, {
      ...open,
      from: '203.0.113.77',
    });
    await world.must('POST', 'auth/approle/role/again', own);
    await world.refused(400, /invalid role/, 'POST', 'auth/approle/login', again, {
      ...open,
      from: '203.0.113.77',
    });
    await world.refused(400, /already in use/, 'POST', 'auth/approle/role/third', own);
    await world.refused(400, /"root" cannot be a policy/, 'POST', 'auth/approle/role/all', {
      token_policies: 'root',
    });
    await world.refused(400, /16 to 1024/, 'POST', 'auth/approle/role/ci/custom-secret-id', {
      secret_id: 'short',
    });
  });

  it('by JWT: of the issuer, for us, with the claims that a role binds', async (t) => {
    const jwks = JSON.stringify({
      keys: [{ ...ours.publicKey.export({ format: 'jwk' }), kid: 'one' }],
    });
    const server = createServer((asked, answer) => {
      const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const document = { issuer, jwks_uri: `${issuer}/keys` };
      answer.end(asked.url === '/keys' ? jwks : JSON.stringify(document));
    });
    await listening(t, server);
    const iss = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await world.must('POST', 'auth/jwt/config', { oidc_discovery_url: iss });
    const role = {
      role_type: 'jwt',
      user_claim: 'sub',
      bound_audiences: 'vault',
      bound_claims: { repo: ['a/*'] },
      bound_claims_type: 'glob',
      token_policies: 'web',
      claim_mappings: { repo: 'repo' },
    };
    await world.must('POST', 'auth/jwt/role/ci', role);
    let tries = 0;
    const login = (jwt: string) => {
      tries += 1;
      const asking = { ...open, from: `192.0.2.${tries}` };
      return world.ask('POST', 'auth/jwt/login', { role: 'ci', jwt }, asking);
    };
    const good = claims({ iss, repo: 'a/b' });
    const { auth } = (await login(jws(good, ours.privateKey))).body;
    assert.deepEqual(auth.metadata, { repo: 'a/b', role: 'ci' });
    const says = async (jwt: string, told: RegExp) => {
      const { status, text } = await login(jwt);
      assert.equal(status, 400, text);
      assert.match(text, told);
    };
    await says(jws(good, foreign.privateKey), /no known key/);
    await says(jws({ ...good, aud: 'other' }, ours.privateKey), /audience/);
    await says(jws({ ...good, repo: 'b/a' }, ours.privateKey), /bound claim/);
    await says(jws({ ...good, exp: 1 }, ours.privateKey), /expired/);
    await says(`${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.`, /algorithm/);
  });

  it('by a token of a service account: by keys, or by the word of the cluster', async (t) => {
    const from = {
      ...claims(),
      sub: 'system:serviceaccount:shop:web',
      'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'web', uid: '7' } },
    };
    const jwks = JSON.stringify({ keys: [ours.publicKey.export({ format: 'jwk' })] });
    await world.must('POST', 'auth/kubernetes/config', { jwks });
    await world.must('POST', 'auth/kubernetes/role/web', {
      bound_service_account_names: 'web',
      bound_service_account_namespaces: 'shop',
      token_policies: 'web',
    });
    const login = (jwt: string, from = '203.0.113.1') =>
      world.ask('POST', 'auth/kubernetes/login', { role: 'web', jwt }, { ...open, from });
    const { auth } = (await login(jws(from, ours.privateKey))).body;
    assert.deepEqual(
      [auth.metadata.service_account_name, auth.metadata.service_account_namespace],
      ['web', 'shop'],
    );
    assert.equal((await login(jws(from, foreign.privateKey))).status, 403);
    const other = { ...from, sub: 'system:serviceaccount:shop:other' };
    assert.equal((await login(jws(other, ours.privateKey))).status, 403);

    let asked: { headers: string | undefined; spec: { token: string } } | undefined;
    const known = jws(from, foreign.privateKey);
    const cluster = createServer(async (request, answer) => {
      let body = '';
      for await (const part of request) body += part;
      const { spec } = JSON.parse(body);
      asked = { headers: request.headers.authorization, spec };
      const user = { username: 'system:serviceaccount:shop:web', uid: '7' };
      const isKnown = spec.token === known;
      answer.end(JSON.stringify({ status: { authenticated: isKnown, ...(isKnown && { user }) } }));
    });
    await listening(t, cluster);
    const { port } = cluster.address() as AddressInfo;
    await world.must('POST', 'auth/kubernetes/config', {
      kubernetes_host: `http://127.0.0.1:${port}`,
      disable_local_ca_jwt: true,
      kubernetes_ca_cert: 'none',
    });
    const byWord = await login(known, '203.0.113.2');
    assert.equal(byWord.body.auth.metadata.service_account_uid, '7');
    // Nobody else's word stands behind the question than the token's own.
    assert.deepEqual(asked, { headers: `Bearer ${known}`, spec: { token: known } });
    // One that is given is kept sealed, and shown to nobody but the cluster.
    const reviewer = 'the-reviewer-of-a-cluster';
    const host = { kubernetes_host: `http://127.0.0.1:${port}`, kubernetes_ca_cert: 'none' };
    await world.must('POST', 'auth/kubernetes/config', { ...host, token_reviewer_jwt: reviewer });
    const { text } = await world.must('GET', 'auth/kubernetes/config');
    assert.ok(!text.includes(reviewer) && text.includes('"token_reviewer_jwt_set":true'));
    const kind = 'vault-auth-config';
    const kept = await world.authority.ledger.edgeRecords({
      kind,
      owner: '',
      after: '',
      limit: 10,
    });
    assert.ok(kept.length > 0 && !JSON.stringify(kept).includes(reviewer));
    assert.equal((await login(known, '203.0.113.2')).status, 200);
    assert.equal(asked?.headers, `Bearer ${reviewer}`);
    const unknown = jws({ ...from, jti: 'other' }, ours.privateKey);
    assert.equal((await login(unknown, '203.0.113.2')).status, 403);
  });

  it('by a client certificate: of the authorities of a role, with its names, and not revoked', async () => {
    await world.must('POST', 'pki/roles/web', { allow_any_name: true, key_type: 'ec' });
    const { data } = (
      await world.must('POST', 'pki/issue/web', { common_name: 'client.example.test' })
    ).body;
    const chain = certificatesFromPem(data.certificate);
    const root = encodePem('CERTIFICATE', world.authority.root.raw);
    await world.must('POST', 'auth/cert/certs/web', {
      certificate: root,
      allowed_common_names: '*.example.test',
      token_policies: 'web',
    });
    await world.must('POST', 'auth/cert/certs/other', {
      certificate: root,
      allowed_dns_sans: 'other.example.test',
    });
    const login = (name: string, from: string, shown = chain) =>
      world.ask('POST', 'auth/cert/login', { name }, { ...open, shown, from });
    const { auth } = (await login('web', '203.0.113.5')).body;
    assert.equal(auth.metadata.common_name, 'client.example.test');
    assert.equal((await login('', '203.0.113.5')).body.auth.metadata.cert_name, 'web');
    assert.equal((await login('other', '203.0.113.5')).status, 400);
    assert.deepEqual((await login('web', '203.0.113.5', [])).body, {
      errors: ['no client certificate found'],
    });
    await world.must('POST', 'pki/revoke', { serial_number: data.serial_number });
    assert.equal((await login('web', '203.0.113.5')).status, 400);
  });

  it('are not tried without end from one address', async () => {
    const wrong = { role_id: 'x', secret_id: 'y' };
    const asking = { ...open, from: '203.0.113.9' };
    for (let i = 0; i < 5; i += 1)
      await world.refused(400, /invalid role/, 'POST', 'auth/approle/login', wrong, asking);
    const refused = await world.ask('POST', 'auth/approle/login', wrong, asking);
    assert.equal(refused.status, 429);
    await world.refused(400, /invalid role/, 'POST', 'auth/approle/login', wrong, {
      ...open,
      from: '203.0.113.10',
    });
  });

  it('do not ask what ca.yaml does not allow for keys', async () => {
    for (const url of [
      'http://169.254.169.254/keys',
      'https://10.0.0.1/keys',
      'file:///etc/passwd',
      'http://example.com/keys',
    ]) {
      await world.refused(400, 'error checking jwks URL', 'POST', 'auth/jwt/config', {
        jwks_url: url,
      });
    }
  });
});

function jws(claims: object, key: KeyObject): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'ES256', typ: 'JWT' })}.${part(claims)}`;
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

async function listening(t: TestContext, server: Server): Promise<void> {
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
}
