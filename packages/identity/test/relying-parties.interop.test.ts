import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { adminClient, ephemeralAuthority, parseCaConfig, serveAuthority } from '@countersign/ca';
import { baoMissing, foreign, freePort, startBao } from '@countersign/testkit';
import { type AuthorityClient, revealJoinToken } from '@countersign/wire';
import { encodePem } from '@countersign/x509';
import { authorityClient, enrol } from '../src/index.ts';

const python = join(foreign, 'spiffe', 'bin', 'python');
const workload = 'spiffe://example.com/ns/prod/sa/payments';

/** What a relying party that knows OIDC and nothing of SPIFFE does with a token, by the library PyJWT. */
const script = `
import json, ssl, sys, urllib.request, jwt
issuer, roots, audience, token = sys.argv[1:]
trust = ssl.create_default_context(cafile=roots)
with urllib.request.urlopen(issuer + '/.well-known/openid-configuration', context=trust) as answer:
    found = json.load(answer)
keys = jwt.PyJWKClient(found['jwks_uri'], ssl_context=trust)
key = keys.get_signing_key_from_jwt(token)
claims = jwt.decode(token, key, algorithms=found['id_token_signing_alg_values_supported'],
                    audience=audience, issuer=found['issuer'], options={'require': ['exp', 'iat', 'sub']})
print(claims['sub'])
`;

describe('relying parties of OIDC, who know nothing of SPIFFE', () => {
  let issuer: string;
  let rootsFile: string;
  let roots: string;
  let client: AuthorityClient;
  const closers: (() => Promise<unknown>)[] = [];

  before(async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'countersign-oidc-'));
    const port = await freePort();
    issuer = `https://localhost:${port}`;
    const clock = systemClock;
    const config = parseCaConfig(
      `ca:
  root: { curve: P-256, validity: 8760h, pathLenConstraint: 1 }
  intermediate: { services: { curve: P-256, validity: 4380h } }
service_certificates:
  validity: 1h
  san_policies: { require_spiffe: true, spiffe_trust_domain: example.com }
api: { names: [localhost], address: 127.0.0.1 }
jwt: { issuer: "${issuer}" }
`,
      'ca.yaml',
    );
    const authority = await ephemeralAuthority({ config, clock });
    const served = await serveAuthority({
      ...{ authority, port, dataDir, clock, log: noLog, meter: noMeter },
    });
    closers.push(
      () => served.close(0),
      () => authority.close(),
      () => rm(dataDir, { recursive: true, force: true }),
    );
    const { authorities } = authority.bundle();
    roots = authorities.map(({ raw }) => encodePem('CERTIFICATE', raw)).join('');
    rootsFile = join(dataDir, 'roots.pem');
    await writeFile(rootsFile, roots);
    const operator = await adminClient(dataDir);
    assert.ok(operator !== undefined);
    const { token } = await operator.createToken({ spiffeId: workload, dns: [], ip: [] });
    const me = await enrol({ url: issuer, token: revealJoinToken(token), clock });
    client = authorityClient({
      ...{ url: issuer, clock, trustDomain: 'example.com' },
      svids: { svid: () => me.svid },
      bundles: { bundle: () => me.bundle, authorities: () => me.bundle.authorities },
    });
  });
  after(async () => {
    for (const close of closers) await close();
  });

  it('PyJWT, by the discovery document and its keys', {
    skip: existsSync(python) ? false : 'no PyJWT (run .ci/foreign-tools)',
  }, async () => {
    const { token } = await client.jwtSvid({ spiffeId: workload, audience: ['sts.example'] });
    const judge = (audience: string) =>
      promisify(execFile)(python, ['-c', script, issuer, rootsFile, audience, token]);
    assert.equal((await judge('sts.example')).stdout.trim(), workload);
    await assert.rejects(judge('other.example'), /InvalidAudienceError/);
  });

  it('OpenBao, whose users log in with a JWT-SVID', { skip: baoMissing() }, async (t) => {
    const bao = await startBao();
    t.after(() => bao.stop());
    await bao.ask('POST', 'sys/auth/jwt', { type: 'jwt' });
    await bao.ask('POST', 'auth/jwt/config', {
      oidc_discovery_url: issuer,
      oidc_discovery_ca_pem: roots,
      bound_issuer: issuer,
    });
    const role = { role_type: 'jwt', user_claim: 'sub', bound_audiences: ['vault'] };
    await bao.ask('POST', 'auth/jwt/role/payments', { ...role, bound_subject: workload });
    await bao.ask('POST', 'auth/jwt/role/others', { ...role, bound_subject: `${workload}/x` });
    const { token } = await client.jwtSvid({ spiffeId: workload, audience: ['vault'] });
    const { auth } = await bao.ask('POST', 'auth/jwt/login', { role: 'payments', jwt: token });
    const { client_token: session } = auth as { client_token: string };
    const { data } = await bao.ask('GET', 'auth/token/lookup-self', undefined, session);
    assert.equal((data as { display_name: string }).display_name, `jwt-${workload}`);
    const refused = (asked: object) =>
      assert.rejects(bao.ask('POST', 'auth/jwt/login', asked), /40[03]/);
    await refused({ role: 'others', jwt: token });
    const other = await client.jwtSvid({ spiffeId: workload, audience: ['sts.example'] });
    await refused({ role: 'payments', jwt: other.token });
  });
});
