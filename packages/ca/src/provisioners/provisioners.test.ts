import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { toBase64 } from '@countersign/base';
import { parseIssueResponse } from '@countersign/wire';
import {
  certificatesFromPem,
  encodePem,
  formatGeneralName,
  keySigner,
  parseCertificate,
} from '@countersign/x509';
import { exchange, type TestApi, testApi } from '../../test/api-under-test.ts';
import { issuedOf, request, testAuthority } from '../../test/authority-under-test.ts';
import { signedToken, tokenHierarchy } from '../../test/token-provisioners.ts';

const now = () => Math.floor(Date.now() / 1000);
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwksOf = (key: KeyObject) =>
  JSON.stringify({ keys: [{ ...key.export({ format: 'jwk' }), kid: 'k1', use: 'sig' }] });

function token(claims: object, more: { key?: KeyObject; header?: object } = {}): string {
  const whole = { iat: now(), exp: now() + 300, aud: 'countersign', ...claims };
  return signedToken({ alg: 'ES256', ...more.header }, whole, more.key ?? pair.privateKey);
}

const yaml = (at: string, issuer: string) => `${tokenHierarchy}
policy:
  rules:
    - { name: no secrets, callers: ['jwk:step/*'], deny: ['dns:secret.example.test'] }
provisioners:
  - name: forge
    type: oidc
    issuer: ${issuer}
    audiences: [countersign]
    claims: { owner: shop, ref: [refs/heads/main, 'refs/tags/v*'] }
    spiffe_id: spiffe://example.com/ci/{repository}
    dns: ['{repository}.ci.example.test']
    lifetime: 15m
    allow: [127.0.0.0/8]
    requests_per_hour: 4
  - name: cluster
    type: kubernetes
    issuer: https://kubernetes.default.svc
    jwks_file: ${at}/jwks.json
    audiences: [countersign]
    spiffe_id: spiffe://example.com/ns/{namespace}/sa/{serviceaccount}
  - { name: step, type: jwk, jwks_file: ${at}/jwks.json, audiences: [https://ca.test/1.0/sign] }
  - { name: partner, type: x5c, roots_file: ${at}/partner.pem, audiences: [countersign] }
`;

describe('tokens that people already hold', () => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-provisioners-'));
  let api: TestApi;
  let issuer = '';
  let asked = 0;
  const forge = createServer((question, answer) => {
    asked += 1;
    const isDiscovery = question.url === '/.well-known/openid-configuration';
    const document = JSON.stringify({ issuer, jwks_uri: `${issuer}/jwks` });
    answer.end(isDiscovery ? document : jwksOf(pair.publicKey));
  });
  let partner: { cert: string; identity: string; key: KeyObject };

  before(async () => {
    await new Promise<void>((resolve) => forge.listen(0, '127.0.0.1', resolve));
    issuer = `http://127.0.0.1:${(forge.address() as AddressInfo).port}`;
    writeFileSync(join(directory, 'jwks.json'), jwksOf(pair.publicKey));
    const other = await testAuthority({
      yaml: yaml(directory, issuer).split('provisioners:')[0] ?? '',
    });
    const holder = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const csr = await request({ signer: keySigner(holder.privateKey) });
    const issue = async (spiffeId?: string) => {
      const issued = await other.issue({ csr, dns: ['web.example.test'], spiffeId });
      return issuedOf(issued)
        .chain.map((der) => encodePem('CERTIFICATE', der))
        .join('');
    };
    const [cert, identity] = [await issue(), await issue('spiffe://example.com/web')];
    partner = { cert, identity, key: holder.privateKey };
    writeFileSync(join(directory, 'partner.pem'), encodePem('CERTIFICATE', other.root.raw));
    await other.close();
    api = await testApi({ authority: await testAuthority({ yaml: yaml(directory, issuer) }) });
  });
  after(async () => {
    await api.close();
    forge.close();
    rmSync(directory, { recursive: true, force: true });
  });

  async function enrol(written: string, more: object = {}) {
    const csr = toBase64(await request());
    const body = JSON.stringify({ token: written, csr, ...more });
    const headers = { 'content-type': 'application/json' };
    const sent = { method: 'POST', path: '/v1/enrol', headers, body };
    const { status, text } = await exchange(api, sent);
    return { status, json: JSON.parse(text) };
  }

  async function issuedFor(written: string, more: object = {}) {
    const { status, json } = await enrol(written, more);
    assert.equal(status, 200, JSON.stringify(json));
    const { serial, chain } = parseIssueResponse(json);
    const leaf = parseCertificate(chain[0] ?? new Uint8Array());
    const record = await api.authority.ledger.certificate(serial);
    return { names: leaf.subjectAltNames.map(formatGeneralName), record, leaf };
  }

  async function refused(code: string, written: string, status = 403): Promise<void> {
    const answer = await enrol(written);
    assert.deepEqual(
      [answer.status, answer.json.code],
      [status, code],
      JSON.stringify(answer.json),
    );
    const told = `${JSON.stringify(answer.json)} ${JSON.stringify(api.lines)}`;
    assert.ok(!told.includes(written), 'the token is told');
  }

  it('get the names that OIDC claims fill in, by keys that the issuer publishes', async () => {
    const claims = {
      iss: issuer,
      sub: 'repo:shop/cart',
      owner: 'shop',
      ref: 'refs/tags/v2',
      repository: 'cart',
    };
    const { names, record, leaf } = await issuedFor(token(claims), { ttlMs: 3_600_000 });
    assert.deepEqual(names, ['uri:spiffe://example.com/ci/cart', 'dns:cart.ci.example.test']);
    assert.equal(record?.provisioner, 'forge');
    assert.equal(record?.grantedBy, `oidc token of "${issuer}" for "repo:shop/cart"`);
    assert.ok(leaf.notAfter - Date.now() <= 15 * 60_000, 'longer than the provisioner says');
    await issuedFor(token(claims));
    assert.equal(asked, 2, 'keys are asked for once');
    await refused('ERR_PROVISIONER_CLAIMS', token({ ...claims, owner: 'others' }));
    await refused('ERR_PROVISIONER_CLAIMS', token({ ...claims, ref: 'refs/heads/x' }));
    await refused('ERR_PROVISIONER_CLAIMS', token({ ...claims, repository: 'a/../b' }));
    await refused('ERR_PROVISIONER_CLAIMS', token({ ...claims, repository: 'a.b' }));
    await refused('ERR_PROVISIONER_TOKEN', token({ ...claims, aud: 'others' }));
    await refused('ERR_PROVISIONER_TOKEN', token({ ...claims, exp: now() - 100 }));
    const forged = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    await refused('ERR_PROVISIONER_TOKEN', token(claims, { key: forged }));
    await refused('ERR_PROVISIONER_UNKNOWN', token({ ...claims, iss: 'https://other.test' }));
    await refused('ERR_JWT_ALGORITHM', token(claims, { header: { alg: 'none' } }));
    await refused('ERR_JWT_ALGORITHM', token(claims, { header: { alg: 'HS256' } }));
    for (let i = 0; i < 2; i += 1) await issuedFor(token(claims));
    await refused('ERR_PROVISIONER_RATE', token(claims), 429);
  });

  it('name a service account of Kubernetes by namespace and name', async () => {
    const claims = {
      iss: 'https://kubernetes.default.svc',
      sub: 'system:serviceaccount:shop:cart',
    };
    const { names, record } = await issuedFor(token(claims));
    assert.deepEqual(names, ['uri:spiffe://example.com/ns/shop/sa/cart']);
    assert.equal(record?.provisioner, 'cluster');
    await refused('ERR_PROVISIONER_CLAIMS', token({ ...claims, sub: 'system:node:a' }));
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const unsigned = `${part({ alg: 'none' })}.${part({ ...claims, exp: now() + 300 })}.`;
    await refused('ERR_JWT_ALGORITHM', unsigned);
  });

  it("are taken once, with the names that step-ca's clients write into them", async () => {
    const aud = 'https://ca.test/1.0/sign';
    const claims = (sans: string[]) => ({
      iss: 'step',
      sub: sans[0],
      aud,
      sans,
      jti: randomUUID(),
    });
    const good = token(claims(['a.example.test', 'b.example.test']));
    const { names, record } = await issuedFor(good);
    assert.deepEqual(names, ['dns:a.example.test', 'dns:b.example.test']);
    assert.match(record?.grantedBy ?? '', /^jwk token of "step" for "a\.example\.test", jti "/);
    await refused('ERR_PROVISIONER_USED', good);
    await refused('ERR_POLICY_RULE', token(claims(['secret.example.test'])));
    await refused('ERR_POLICY_DNS', token(claims(['evil.invalid'])));
    const long = { ...claims(['a.example.test']), exp: now() + 7200 };
    await refused('ERR_PROVISIONER_TOKEN', token(long));
  });

  it("by the key of another authority's certificate have the names of that certificate", async () => {
    const x5c = certificatesFromPem(partner.cert).map(({ raw }) => toBase64(raw));
    const by = { key: partner.key, header: { x5c, kid: undefined } };
    const claims = () => ({ iss: 'partner', sub: 'web', jti: randomUUID() });
    const good = token(claims(), by);
    const { names, record } = await issuedFor(good);
    assert.deepEqual(names, ['dns:web.example.test']);
    assert.equal(record?.provisioner, 'partner');
    await refused('ERR_PROVISIONER_USED', good);
    const web = ['web.example.test'];
    const { names: asked } = await issuedFor(token({ ...claims(), sans: web }, by));
    assert.deepEqual(asked, ['dns:web.example.test']);
    const beyond = ['web.example.test', 'secret.example.test'];
    await refused('ERR_PROVISIONER_CLAIMS', token({ ...claims(), sans: beyond }, by));
    const sides = /asks for ..dns:secret.example.test.. in ..sans.., its certificate has ..dns:web/;
    assert.match(JSON.stringify(api.lines), sides);
    await refused('ERR_PROVISIONER_CLAIMS', token({ ...claims(), sans: 'web' }, by));
    assert.match(JSON.stringify(api.lines), /has a ..sans.. that is no list/);
    await refused('ERR_PROVISIONER_CLAIMS', token({ ...claims(), sans: [1] }, by));
    assert.match(JSON.stringify(api.lines), /has 1 in ..sans.., which is a list of texts/);
    await refused('ERR_PROVISIONER_TOKEN', token(claims(), { header: { x5c } }));
    await refused('ERR_PROVISIONER_TOKEN', token(claims(), { header: { x5c: ['AAAA'] } }));
    await refused('ERR_PROVISIONER_TOKEN', token(claims()));
  });

  it('by the key of a certificate of this very authority are refused: that is renewed', async () => {
    const { authority } = api;
    const holder = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const csr = await request({ signer: keySigner(holder.privateKey) });
    const own = issuedOf(await authority.issue({ csr, dns: ['own.example.test'] }));
    const file = join(directory, 'partner.pem');
    const partners = readFileSync(file, 'utf8');
    writeFileSync(file, partners + encodePem('CERTIFICATE', authority.root.raw));
    const header = { x5c: own.chain.map((der) => toBase64(der)), kid: undefined };
    const claims = { iss: 'partner', sub: 'own', jti: randomUUID() };
    await refused('ERR_PROVISIONER_TOKEN', token(claims, { key: holder.privateKey, header }));
    assert.match(
      JSON.stringify(api.lines),
      /is of this authority, provisioner .* takes those of another/,
    );
    writeFileSync(file, partners);
  });

  it('are refused and not spent where they give no SPIFFE ID and an identity is asked for', async () => {
    const aud = 'https://ca.test/1.0/sign';
    const claims = { iss: 'step', sub: 'c.example.test', aud, jti: randomUUID() };
    const written = token(claims);
    const { status, json } = await enrol(written, { needsSpiffeId: true });
    assert.deepEqual([status, json.code], [403, 'ERR_PROVISIONER_CLAIMS']);
    assert.match(json.detail, /gives "dns:c.example.test" and no SPIFFE ID, an identity needs one/);
    const { names } = await issuedFor(written);
    assert.deepEqual(names, ['dns:c.example.test']);
    const x5c = certificatesFromPem(partner.identity).map(({ raw }) => toBase64(raw));
    const by = { key: partner.key, header: { x5c, kid: undefined } };
    const less = { iss: 'partner', sub: 'web', sans: ['web.example.test'], jti: randomUUID() };
    const told = await enrol(token(less, by), { needsSpiffeId: true });
    assert.match(
      told.json.detail,
      /certificate has "spiffe:.*\/web", name it in "sans" of the token/,
    );
    const sans = ['spiffe://example.com/c', 'c.example.test'];
    const good = token({ ...claims, sans, jti: randomUUID() });
    assert.equal((await issuedFor(good, { needsSpiffeId: true })).names.length, 2);
  });

  it('wish for nothing but a lifetime', async () => {
    const { status, json } = await enrol(token({ iss: 'step' }), { profile: 'gold' });
    assert.deepEqual([status, json.code], [400, 'ERR_WIRE_UNKNOWN_MEMBER']);
  });
});
