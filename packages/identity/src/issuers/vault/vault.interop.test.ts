import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { after, before, type TestContext, test } from 'node:test';
import { noLog, noMeter, Secret, systemClock } from '@countersign/base';
import { type BaoServer, baoMissing, startBao, testCa } from '@countersign/testkit';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import { directoryFor, issuerSuite } from '../issuer.suite.ts';
import { rootsOfFile, secretOfFile } from '../issuer-files.ts';
import { openIssued } from '../open-issued.ts';
import { vaultIssuer } from './vault-issuer.ts';
import type { VaultAuth } from './vault-session.ts';

const skip = baoMissing();
let bao: BaoServer;

before(async () => {
  if (skip !== false) return;
  bao = await startBao();
  await setUp(bao);
});
after(() => bao?.stop());

const names = {
  spiffeId: 'spiffe://example.com/ns/prod/sa/payments',
  dns: ['payments.example.com'],
  ip: [],
};

const issuerOf = (auth?: VaultAuth, url = bao.url) =>
  vaultIssuer({
    ...{ url, mount: 'pki_int', role: 'workloads', clock: systemClock, log: noLog },
    auth: auth ?? { method: 'token', token: async () => new Secret(bao.token) },
    ...{ serverRoots: rootsOfFile(bao.caFile), timeoutMs: 10_000 },
  });

issuerSuite(
  'OpenBao',
  async () => ({
    issuer: () => issuerOf(),
    away: () => issuerOf(undefined, 'https://127.0.0.1:9'),
    names,
    refused: { ...names, spiffeId: 'spiffe://example.com/ns/prod/sa/somebody-else' },
    refusal: /sign with role "workloads" at Vault at "http.*it answers 400: .*URI/,
  }),
  { skip },
);

async function once(t: TestContext, auth: VaultAuth): Promise<string> {
  const live = await openIssued({
    ...{ issuer: issuerOf(auth), names, clock: systemClock, log: noLog, meter: noMeter },
  });
  t.after(() => live.stop());
  await live.renewNow();
  return live.svid().spiffeId.toString();
}

test('OpenBao: a role and its secret log in, and so do tokens that are replaced', {
  skip,
}, async (t) => {
  await bao.ask('POST', 'sys/auth/approle', { type: 'approle' });
  await bao.ask('POST', 'auth/approle/role/payments', { token_policies: 'sign', token_ttl: '1h' });
  const { data } = await bao.ask('GET', 'auth/approle/role/payments/role-id');
  const secret = await bao.ask('POST', 'auth/approle/role/payments/secret-id', {});
  const roleId = async () => new Secret(String((data as { role_id: string }).role_id));
  const secretId = async () => new Secret((secret.data as { secret_id: string }).secret_id);
  assert.equal(await once(t, { method: 'approle', roleId, secretId }), names.spiffeId);
  await assert.rejects(
    once(t, { method: 'approle', roleId, secretId: async () => new Secret('wrong') }),
    {
      code: 'ERR_ISSUER_REFUSED',
      message: /log in by approle at Vault .*it answers 400: invalid role or secret ID/,
    },
  );
  const made = async () =>
    new Secret(
      (
        (await bao.ask('POST', 'auth/token/create', { policies: ['sign'], ttl: '1h' })).auth as {
          client_token: string;
        }
      ).client_token,
    );
  let current = await made();
  const live = await openIssued({
    issuer: issuerOf({ method: 'token', token: async () => current }),
    ...{ names, clock: systemClock, log: noLog, meter: noMeter },
  });
  t.after(() => live.stop());
  await bao.ask('POST', 'auth/token/revoke', { token: current.reveal() });
  current = await made();
  await live.renewNow();
  assert.equal(live.stats().renewals, 1);
});

test('OpenBao: a JWT of another issuer logs in', { skip }, async (t) => {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await bao.ask('POST', 'sys/auth/jwt', { type: 'jwt' });
  await bao.ask('POST', 'auth/jwt/config', {
    jwt_validation_pubkeys: [publicKey.export({ type: 'spki', format: 'pem' })],
  });
  await bao.ask('POST', 'auth/jwt/role/ci', {
    ...{ role_type: 'jwt', user_claim: 'sub', bound_audiences: ['vault'], token_policies: 'sign' },
  });
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(systemClock.now() / 1000);
  const text = `${part({ alg: 'ES256' })}.${part({ sub: 'ci', aud: 'vault', iat: now, exp: now + 300 })}`;
  const signature = sign('sha256', Buffer.from(text), {
    key: privateKey,
    dsaEncoding: 'ieee-p1363',
  });
  const jwt = async () => new Secret(`${text}.${signature.toString('base64url')}`);
  assert.equal(await once(t, { method: 'jwt', role: 'ci', jwt }), names.spiffeId);
});

test('OpenBao: a short lease is renewed, and where it ends a login brings another', {
  skip,
}, async (t) => {
  const made = await bao.ask('POST', 'auth/token/create', {
    ...{ policies: ['sign'], ttl: '4s', explicit_max_ttl: '1h', renewable: true },
  });
  const token = (made.auth as { client_token: string }).client_token;
  const live = await openIssued({
    issuer: issuerOf({ method: 'token', token: async () => new Secret(token) }),
    ...{ names, clock: systemClock, log: noLog, meter: noMeter },
  });
  t.after(() => live.stop());
  await systemClock.sleep(6000);
  await live.renewNow();
  assert.equal(live.stats().renewals, 1);
});

test('OpenBao: a file that holds no token is named', { skip }, async (t) => {
  const path = `${await directoryFor(t)}.token`;
  const token = secretOfFile(path, 'token of Vault');
  await assert.rejects(once(t, { method: 'token', token }), {
    code: 'ERR_ISSUER_SECRET',
    message: /^token of Vault in ".*\.token": ENOENT/,
  });
  await writeFile(path, `${bao.token}\n`);
  assert.equal(await once(t, { method: 'token', token }), names.spiffeId);
});

/** A root, an intermediate below it that signs, and who may ask it. */
async function setUp({ ask }: BaoServer): Promise<void> {
  await ask('POST', 'sys/mounts/pki', { type: 'pki', config: { max_lease_ttl: '87600h' } });
  await ask('POST', 'pki/root/generate/internal', {
    ...{ common_name: 'Vault root', ttl: '87600h', key_type: 'ec', key_bits: 256 },
  });
  await ask('POST', 'sys/mounts/pki_int', { type: 'pki', config: { max_lease_ttl: '43800h' } });
  const asked = await ask('POST', 'pki_int/intermediate/generate/internal', {
    ...{ common_name: 'Vault issuing', key_type: 'ec', key_bits: 256 },
  });
  const { csr } = asked.data as { csr: string };
  const signed = await ask('POST', 'pki/root/sign-intermediate', { csr, ttl: '43800h' });
  const { certificate, ca_chain: chain } = signed.data as {
    certificate: string;
    ca_chain: string[];
  };
  await ask('POST', 'pki_int/intermediate/set-signed', {
    certificate: [certificate, ...chain.filter((each) => each !== certificate)].join('\n'),
  });
  await ask('POST', 'pki_int/roles/workloads', {
    ...{ allowed_domains: ['example.com'], allow_subdomains: true, require_cn: false },
    ...{ allowed_uri_sans: ['spiffe://example.com/ns/prod/sa/payments'], max_ttl: '24h' },
    ...{ key_type: 'ec', key_bits: 256, basic_constraints_valid_for_non_ca: true },
  });
  await ask('POST', 'sys/policies/acl/sign', {
    policy: 'path "pki_int/sign/workloads" { capabilities = ["update"] }',
  });
}

test('OpenBao: a certificate logs in', { skip }, async (t) => {
  const ca = testCa();
  const { chain, privateKey } = ca.leaf();
  const directory = `${await directoryFor(t)}-`;
  const [certFile, keyFile] = [`${directory}cert.pem`, `${directory}key.pem`];
  await writeFile(certFile, chain.map(({ raw }) => encodePem('CERTIFICATE', raw)).join(''));
  await writeFile(keyFile, encodePrivateKey(privateKey), { mode: 0o600 });
  await bao.ask('POST', 'sys/auth/cert', { type: 'cert' });
  await bao.ask('POST', 'auth/cert/certs/payments', {
    ...{ certificate: ca.rootPem, token_policies: 'sign' },
  });
  assert.equal(await once(t, { method: 'cert', certFile, keyFile }), names.spiffeId);
  const other = testCa().leaf();
  await writeFile(certFile, encodePem('CERTIFICATE', other.certificate.raw));
  await writeFile(keyFile, encodePrivateKey(other.privateKey));
  await assert.rejects(once(t, { method: 'cert', certFile, keyFile }), {
    code: 'ERR_ISSUER_REFUSED',
    message: /log in by cert at Vault .*it answers 400: /,
  });
});

test('OpenBao: a server whose certificate nobody vouches for gets no token', { skip }, async () => {
  const stranger = vaultIssuer({
    ...{ url: bao.url, mount: 'pki_int', role: 'workloads', clock: systemClock, log: noLog },
    auth: { method: 'token', token: async () => new Secret(bao.token) },
    serverRoots: async () => [testCa().root],
  });
  const asked = openIssued({
    ...{ issuer: stranger, names, clock: systemClock, log: noLog, meter: noMeter },
  });
  await assert.rejects(asked, { code: 'ERR_ISSUER_UNREACHABLE', message: /certificate/ });
});
