import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type CountersignError, noLog, Secret, systemClock } from '@countersign/base';
import { parseBundleDocument, staticBundles, verifyJwtSvid } from '@countersign/spiffe';
import { testClock } from '@countersign/testkit';
import { caYaml, exchange, testApi } from '../../test/api-under-test.ts';
import { parseCaConfig } from '../ca-config.ts';
import { ephemeralAuthority } from '../ephemeral-authority.ts';
import { memoryLedger } from '../ledger/memory-ledger.ts';
import { createSealer, keyFileScrypt } from '../sealed-key.ts';
import { sealedFileStore } from '../signers/sealed-file-store.ts';
import { type JwtConfig, jwtKeyKinds } from './jwt-config.ts';
import { JwtKeys } from './jwt-keys.ts';

const withTokens = (jwt: string) =>
  `${caYaml}  registrars: [spiffe://example.com/registrar]\njwt: ${jwt}\n`;
const orders = 'spiffe://example.com/ns/prod/sa/orders';
const codeOf = (code: string) => (thrown: unknown) => (thrown as CountersignError).code === code;
const minute = 60_000;
const hour = 60 * minute;

async function tokenApi(jwt = '{ issuer: "https://tokens.example.com" }') {
  const config = parseCaConfig(withTokens(jwt), 'ca.yaml');
  return testApi({
    authority: await ephemeralAuthority({ config, clock: systemClock, log: noLog }),
  });
}

describe('JWT-SVIDs over the API', () => {
  it('are issued with each algorithm, and proved by the bundle alone', async () => {
    for (const algorithm of Object.keys(jwtKeyKinds)) {
      const api = await tokenApi(`{ issuer: "https://t.example.com", algorithm: ${algorithm} }`);
      const client = api.client(await api.enrol(orders));
      const audience = ['one', 'two'];
      const { token, expiresAt } = await client.jwtSvid({ spiffeId: orders, audience });
      const bundle = parseBundleDocument(await client.bundle(), 'example.com');
      const at = systemClock.now();
      const bundles = staticBundles(bundle);
      const proved = verifyJwtSvid({ token, audience: ['two'], bundles, at });
      assert.ok(proved.ok, algorithm);
      assert.equal(proved.svid.spiffeId.toString(), orders);
      assert.equal(proved.svid.expiresAt, expiresAt);
      assert.equal(proved.svid.claims.iss, 'https://t.example.com');
      await api.close();
    }
  });

  it('are for oneself, for registrars, and for the agent that an entry names; for nobody else', async () => {
    const api = await tokenApi();
    const audience = ['db'];
    const [mine, agentId] = [orders, 'spiffe://example.com/agent'];
    const agent = api.client(await api.enrol(agentId));
    const registrar = api.client(await api.enrol('spiffe://example.com/registrar'));
    await assert.rejects(agent.jwtSvid({ spiffeId: mine, audience }), codeOf('ERR_API_FORBIDDEN'));
    await registrar.jwtSvid({ spiffeId: mine, audience });
    const operator = await api.operator();
    const facts = { selectors: ['unix:uid:1'], hint: '', dns: [], federatesWith: [] };
    await operator.createEntry({ spiffeId: mine, agent: agentId, ...facts });
    await agent.jwtSvid({ spiffeId: mine, audience });
    for (const spiffeId of [
      'spiffe://example.com',
      'spiffe://other.org/a',
      'spiffe://example.com/countersign/ca',
    ]) {
      const refused = registrar.jwtSvid({ spiffeId, audience });
      await assert.rejects(refused, codeOf('ERR_POLICY_SPIFFE_ID'));
    }
    const tooLong = registrar.jwtSvid({ spiffeId: mine, audience, ttlMs: 2 * hour });
    await assert.rejects(tooLong, codeOf('ERR_POLICY_TTL'));
    await api.authority.revoke(
      {
        by: 'spiffe-id',
        value: mine,
        reason: 'keyCompromise',
        block: true,
        dryRun: false,
        waitMs: 0,
      },
      { kind: 'operator' },
    );
    await assert.rejects(agent.jwtSvid({ spiffeId: mine, audience }), codeOf('ERR_LEDGER_BLOCKED'));
    await api.close();
  });

  it('are verified by relying parties of OIDC, by discovery and JWKS', async () => {
    const api = await tokenApi();
    const read = async (path: string) => {
      const { status, text } = await exchange(api, { path });
      assert.equal(status, 200, text);
      return JSON.parse(text);
    };
    const discovered = await read('/.well-known/openid-configuration');
    assert.equal(discovered.issuer, 'https://tokens.example.com');
    const { keys } = await read(new URL(discovered.jwks_uri).pathname);
    const client = api.client(await api.enrol(orders));
    const { token } = await client.jwtSvid({ spiffeId: orders, audience: ['aws'] });
    const header = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString());
    assert.deepEqual(
      keys.map(({ kid, use, alg }: Record<string, string>) => [kid, use, alg]),
      [[header.kid, 'sig', 'ES256']],
    );
    assert.ok(!JSON.stringify(api.lines).includes(token.slice(-30)));
    await api.close();
  });

  it('are off unless ca.yaml has a section for them', async () => {
    const api = await testApi();
    const client = api.client(await api.enrol(orders));
    const refused = client.jwtSvid({ spiffeId: orders, audience: ['db'] });
    await assert.rejects(refused, codeOf('ERR_JWT_OFF'));
    assert.equal((await exchange(api, { path: '/v1/jwks' })).status, 404);
    assert.equal(parseBundleDocument(await client.bundle(), 'example.com').jwtKeys, undefined);
    await api.close();
  });

  it('refuse an issuer or durations that cannot be', () => {
    for (const [written, message] of [
      ['{ issuer: "http://a.example.com" }', /jwt\.issuer: expected an https URL/],
      ['{ issuer: "https://a.example.com/" }', /slash at the end/],
      ['{ ttl: 2h }', /jwt\.ttl/],
      ['{ key_lifetime: 1h, publish_ahead: 1h }', /jwt\.publish_ahead/],
    ] as const) {
      assert.throws(() => parseCaConfig(withTokens(written), 'ca.yaml'), message);
    }
  });
});

describe('the keys of JWT-SVIDs', () => {
  const config: JwtConfig = {
    issuer: undefined,
    algorithm: 'ES256',
    ttlMs: 5 * minute,
    maxTtlMs: hour,
    keyLifetimeMs: 24 * hour,
    publishAheadMs: hour,
  };
  const sealer = createSealer(new Secret(new Uint8Array(32)), keyFileScrypt);
  const store = sealedFileStore(sealer);

  it('are published before they sign, and until their last token has ended', async () => {
    const clock = testClock();
    const ledger = memoryLedger({ clock });
    const keys = await JwtKeys.open({ config, ledger, store, file: undefined, clock, log: noLog });
    const first = (await keys.current()).kid;
    const kids = () => keys.publicKeys.map(({ kid }) => kid);
    assert.deepEqual(kids(), [first]);
    await clock.advance(22.9 * hour);
    assert.deepEqual(kids(), [first]);
    await clock.advance(0.2 * hour);
    await keys.keep();
    const [, second] = kids();
    assert.ok(second !== undefined);
    assert.equal((await keys.current()).kid, first);
    await clock.advance(hour);
    assert.equal((await keys.current()).kid, second);
    assert.deepEqual(kids(), [first, second]);
    await clock.advance(2.5 * hour);
    await keys.keep();
    assert.deepEqual(kids(), [second]);
    await keys.stop();
    await ledger.close();
  });

  it('are there again after a restart, sealed and for their owner alone', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'countersign-jwt-'));
    const file = join(directory, 'jwt.keys.json');
    const ledger = memoryLedger({ clock: systemClock });
    const options = { config, ledger, store, file, clock: systemClock, log: noLog };
    const before = await JwtKeys.open(options);
    const { kid } = await before.current();
    await before.stop();
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    assert.ok(!(await readFile(file, 'utf8')).includes('"d"'));
    const after = await JwtKeys.open(options);
    assert.equal((await after.current()).kid, kid);
    await after.stop();
    rmSync(directory, { recursive: true });
  });

  it('of several processes over a ledger are all in the bundle', async () => {
    const ledger = memoryLedger({ clock: systemClock });
    const options = { config, ledger, store, file: undefined, clock: systemClock, log: noLog };
    const [one, two] = [await JwtKeys.open(options), await JwtKeys.open(options)];
    const mine = (await two.current()).kid;
    assert.equal(two.publicKeys.length, 2);
    assert.ok(two.publicKeys.some(({ kid }) => kid === mine));
    await one.stop();
    await two.stop();
  });
});
