import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type CountersignError, noLog, noMeter, systemClock } from '@countersign/base';
import { ephemeralAuthority, parseCaConfig, serveAuthority } from '@countersign/ca';
import { encodePem } from '@countersign/x509';
import { type OidcIssuer, startOidcIssuer } from '../test/oidc-issuer.ts';
import { fileToken, githubToken, googleToken, variableToken } from './ci-tokens.ts';
import { httpsAgent, identity, secureServer } from './index.ts';

const audience = 'countersign.example.com';
const deploy = 'spiffe://example.com/ci/shop/deploy';
let issuer: OidcIssuer;
let url = '';
let bundle = '';
let fingerprint = '';
let directory = '';
const stop: (() => unknown)[] = [];

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'oidc-'));
  issuer = await startOidcIssuer({ sub: 'repo:example/shop', repo: 'shop', job: 'deploy' });
  await writeFile(join(directory, 'issuer.pem'), issuer.roots);
  const text = `
ca:
  root: { curve: P-256, validity: 8760h }
  intermediate: { services: { curve: P-256, validity: 4380h } }
service_certificates:
  validity: 1h
  san_policies: { spiffe_trust_domain: example.com }
api: { names: [localhost], address: 127.0.0.1 }
provisioners:
  - name: forge
    type: oidc
    issuer: "${issuer.url}"
    ca_file: "${join(directory, 'issuer.pem')}"
    allow: [127.0.0.0/8]
    audiences: [${audience}]
    claims: { sub: "repo:example/*" }
    spiffe_id: "spiffe://example.com/ci/{repo}/{job}"
`;
  const config = parseCaConfig(text, 'ca.yaml');
  const authority = await ephemeralAuthority({ config, clock: systemClock });
  const served = await serveAuthority({
    ...{ authority, port: 0, dataDir: directory, clock: systemClock, log: noLog, meter: noMeter },
  });
  url = `https://localhost:${new URL(served.url).port}`;
  bundle = encodePem('CERTIFICATE', authority.root.raw);
  fingerprint = authority.rootFingerprint;
  stop.push(
    () => served.close(),
    () => authority.close(),
    () => issuer.close(),
    () => rm(directory, { recursive: true, force: true }),
  );
});
after(async () => {
  for (const each of stop) await each();
});

test('a job of GitHub gets the names that its claims give, once an instance, and is let in by them', async (t) => {
  const options = { url, fingerprint, token: githubToken({ env: issuer.env, audience }) };
  const me = await identity.ephemeral(options);
  t.after(() => me.stop());
  assert.equal(me.svid().spiffeId.toString(), deploy);
  const asked = issuer.asked();
  assert.equal(await identity.ephemeral(options), me);
  assert.equal(issuer.asked(), asked);

  const http = createServer((_, response) => response.end('ok'));
  const server = secureServer(me, http, { allow: ['spiffe://example.com/ci/shop/*'] });
  const { port } = await server.listen(0);
  t.after(() => server.close(0));
  const agent = httpsAgent(me, { allow: [deploy] });
  const status = await new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, agent }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).once('error', reject);
  });
  http.closeAllConnections();
  assert.equal(status, 200);
});

test('a token in a variable, in a file, and of a service of Google do the same; a bundle of one root pins it', async (t) => {
  const token = issuer.token({
    sub: 'repo:example/shop',
    repo: 'shop',
    job: 'build',
    aud: audience,
  });
  await writeFile(join(directory, 'token'), `${token}\n`);
  const sources = [
    ['build', variableToken({ env: { ID_TOKEN: token }, name: 'ID_TOKEN' })],
    ['deploy', googleToken({ audience, metadata: issuer.metadata })],
  ] as const;
  for (const [job, source] of sources) {
    const spiffeId = `spiffe://example.com/ci/shop/${job}`;
    const me = await identity.ephemeral({ url, bundle, spiffeId, token: source });
    t.after(() => me.stop());
    assert.equal(me.svid().spiffeId.toString(), spiffeId);
  }
  assert.equal(await fileToken(join(directory, 'token'))(), token);
});

test('what is no such job, another audience, or claims of somebody else are refused, and nothing is kept', async () => {
  const none = githubToken({ env: {}, audience });
  await assert.rejects(
    identity.ephemeral({ url, fingerprint, spiffeId: `${deploy}/z`, token: none }),
    {
      code: 'ERR_IDENTITY_TOKEN',
      message: /the variable "ACTIONS_ID_TOKEN_REQUEST_TOKEN" is not set/,
    },
  );
  const wrong = [
    githubToken({ env: issuer.env, audience: 'somebody-else' }),
    async () => issuer.token({ sub: 'repo:other/shop', repo: 'shop', job: 'x', aud: audience }),
  ];
  for (const token of wrong) {
    const asked = identity.ephemeral({ url, fingerprint, spiffeId: `${deploy}/x`, token });
    await assert.rejects(asked, (thrown: CountersignError) => thrown.exit === 1);
  }
  const unpinned = identity.ephemeral({
    ...{ url, spiffeId: `${deploy}/y`, token: githubToken({ env: issuer.env, audience }) },
  });
  await assert.rejects(unpinned, { code: 'ERR_IDENTITY_BEARER' });
});
