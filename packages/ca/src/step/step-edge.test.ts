import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  certificatesFromPem,
  encodePem,
  fingerprintOf,
  formatGeneralName,
} from '@countersign/x509';
import { exchange, type TestApi, testApi } from '../../test/api-under-test.ts';
import { issuedOf, request, testAuthority } from '../../test/authority-under-test.ts';
import { signedToken, tokenHierarchy } from '../../test/token-provisioners.ts';
import { parseCaConfig } from '../ca-config.ts';

const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = { ...pair.privateKey.export({ format: 'jwk' }), kid: 'k1', use: 'sig' };
const sealedHeader = Buffer.from('{"alg":"PBES2-HS256+A128KW","enc":"A256GCM"}').toString(
  'base64url',
);
const sealed = `${sealedHeader}.AA.BB.CC.DD`;
const yaml = (at: string) => `${tokenHierarchy}
provisioners:
  - { name: unread, type: jwk, jwks_file: ${at}/none, encrypted_key_file: ${at}/sealed, audiences: ['https://ca.test/1.0/sign'] }
  - { name: spaced, type: jwk, jwks_file: ${at}/spaced, encrypted_key_file: ${at}/sealed, audiences: ['https://ca.test/1.0/sign'] }
  - { name: operators, type: jwk, jwks_file: ${at}/jwks, encrypted_key_file: ${at}/sealed, audiences: ['https://ca.test/1.0/sign'] }
  - { name: open, type: jwk, jwks_file: ${at}/jwks, encrypted_key_file: ${at}/jwks, audiences: ['https://ca.test/1.0/sign'] }
  - { name: missing, type: jwk, jwks_file: ${at}/none, audiences: ['https://ca.test/1.0/sign'] }
  - { name: broken, type: jwk, jwks_file: ${at}/broken, audiences: ['https://ca.test/1.0/sign'] }
step: {}
`;

function token(claims: object): string {
  const exp = Math.floor(Date.now() / 1000) + 300;
  const own = { iss: 'operators', aud: 'https://ca.test/1.0/sign', jti: randomUUID() };
  return signedToken({ alg: 'ES256' }, { exp, ...own, ...claims }, pair.privateKey);
}

describe("step-ca's paths", () => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-step-'));
  let api: TestApi;
  before(async () => {
    writeFileSync(join(directory, 'jwks'), JSON.stringify({ keys: [jwk] }));
    writeFileSync(
      join(directory, 'spaced'),
      JSON.stringify({ keys: [{ ...jwk, kid: 'ops key/1' }] }),
    );
    writeFileSync(join(directory, 'broken'), '{"keys": [');
    const parts = { encrypted_key: 'AA', iv: 'BB', ciphertext: 'CC', tag: 'DD', more: 'd' };
    writeFileSync(join(directory, 'sealed'), JSON.stringify({ protected: sealedHeader, ...parts }));
    api = await testApi({ authority: await testAuthority({ yaml: yaml(directory) }) });
  });
  after(async () => {
    await api.close();
    rmSync(directory, { recursive: true, force: true });
  });

  async function ask(method: string, path: string, body?: object) {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const { status, text } = await exchange(api, { method, path, ...sent });
    return { status, json: text.startsWith('{') ? JSON.parse(text) : { text } };
  }
  const csr = async () => encodePem('CERTIFICATE REQUEST', await request());

  it('say what the authority is, with public keys alone', async () => {
    const fingerprint = fingerprintOf(api.authority.root);
    for (const prefix of ['', '/1.0']) {
      assert.deepEqual((await ask('GET', `${prefix}/health`)).json, { status: 'ok' });
      const { ca } = (await ask('GET', `${prefix}/root/${fingerprint.toUpperCase()}`)).json;
      assert.equal(fingerprintOf(certificatesFromPem(ca)[0] ?? assert.fail()), fingerprint);
      const { crts } = (await ask('GET', `${prefix}/roots`)).json;
      assert.equal(crts.length, 1);
      const { provisioners } = (await ask('GET', `${prefix}/provisioners?limit=100`)).json;
      assert.deepEqual(
        provisioners.map((each: { name: string; key: object }) => [each.name, 'd' in each.key]),
        [
          ['spaced', false],
          ['operators', false],
        ],
      );
      assert.equal(provisioners[1].encryptedKey, sealed);
    }
    for (const name of ['missing', 'broken', 'open']) {
      const told = api.lines.find((line) => JSON.stringify(line).includes(`"${name}"`));
      assert.match(JSON.stringify(told), /provisioner not listed/, name);
    }
    assert.equal((await ask('GET', `/root/${'00'.repeat(32)}`)).status, 404);
    assert.equal((await ask('GET', '/provisioners/k2/encrypted-key')).status, 404);
    assert.equal((await ask('GET', '/provisioners/%ff/encrypted-key')).status, 404);
    // whatever stands beside it cannot be read
    for (const keyId of ['k1', encodeURIComponent('ops key/1')]) {
      const { json } = await ask('GET', `/1.0/provisioners/${keyId}/encrypted-key`);
      assert.equal(json.key, sealed, keyId);
    }
    assert.equal((await ask('POST', '/health')).status, 404);
    assert.equal((await ask('GET', '/ssh/roots')).status, 404);
  });

  it('sign for a token, and say what is wrong with a request', async () => {
    const sans = ['a.example.test'];
    const good = { csr: await csr(), ott: token({ sub: 'a', sans }), notAfter: '24h0m0s' };
    const { status, json } = await ask('POST', '/1.0/sign', { ...good, notBefore: '' });
    assert.equal(status, 201, JSON.stringify(json));
    const [leaf] = certificatesFromPem(json.certChain.join(''));
    assert.deepEqual(leaf?.subjectAltNames.map(formatGeneralName), ['dns:a.example.test']);
    assert.equal(json.crt, json.certChain[0]);
    const ott = () => token({ sub: 'a', sans });
    const refusals: readonly (readonly [object, number, RegExp])[] = [
      [good, 401, /ERR_PROVISIONER_USED/],
      [{ ...good, ott: token({ sub: 'x', sans: ['evil.invalid'] }) }, 403, /evil\.invalid/],
      [{ ...good, ott: token({ aud: 'x', sub: 'a', sans }) }, 401, /^ERR_PROVISIONER_TOKEN, id /],
      [{ ...good, ott: 'a.b.c' }, 401, /^ERR_JWT_FORM, id /],
      [{ ...good, ott: undefined }, 400, /"ott" is missing/],
      [{ ...good, csr: 'x', ott: ott() }, 400, /"csr"/],
      [{ ...good, ott: ott(), templateData: { a: 1 } }, 501, /"templateData"/],
      [{ ...good, ott: ott(), notBefore: '1h' }, 501, /"notBefore"/],
      [{ ...good, ott: ott(), notAfter: 'soon' }, 400, /"notAfter"/],
      [{ ...good, ott: ott(), colour: 'red' }, 501, /"colour"/],
    ];
    for (const [body, expected, words] of refusals) {
      const refused = await ask('POST', '/sign', body);
      assert.match(refused.json.message, words);
      assert.equal(refused.status, expected, refused.json.message);
      assert.equal(refused.json.status, expected);
    }
    const large = { csr: 'x'.repeat(70_000), ott: '' };
    assert.equal((await ask('POST', '/sign', large)).status, 413);
    assert.equal((await ask('POST', '/renew', {})).status, 401);
  });

  it('say when to come again where more is asked for than can be issued, and spend no token', async () => {
    const full = { abreast: 0, patientMs: -1, hastyMs: -1 };
    const busy = await testApi({
      authority: await testAuthority({ yaml: yaml(directory) }),
      queue: full,
    });
    try {
      const ott = token({ sub: 'c', sans: ['c.example.test'] });
      const body = JSON.stringify({ csr: await csr(), ott });
      const refused = await exchange(busy, { method: 'POST', path: '/sign', body });
      assert.equal(refused.status, 503);
      assert.match(String(refused.headers['retry-after']), /^\d+$/);
      assert.equal((await ask('POST', '/sign', JSON.parse(body))).status, 201);
    } finally {
      await busy.close();
    }
  });

  it('keep nobody waiting while another issuer is slow in giving its keys', async () => {
    const slow = createServer().listen(0, '127.0.0.1');
    await once(slow, 'listening');
    const issuer = `http://127.0.0.1:${(slow.address() as AddressInfo).port}`;
    const more = `
  - name: slow
    type: oidc
    issuer: ${issuer}
    jwks_url: ${issuer}/keys
    allow: [127.0.0.0/8]
    audiences: [ca]
    spiffe_id: spiffe://example.com/ci
    claims: { sub: ci }
step:`;
    const busy = await testApi({
      authority: await testAuthority({ yaml: yaml(directory).replace('\nstep:', more) }),
      queue: { abreast: 1 },
    });
    try {
      const sign = async (name: string, ott: string) => {
        const body = JSON.stringify({ csr: await csr(), ott });
        const { status } = await exchange(busy, { method: 'POST', path: '/sign', body });
        return `${name} ${status}`;
      };
      const asked = once(slow, 'request');
      const first = sign('slow', token({ iss: issuer, aud: 'ca', sub: 'ci' }));
      const [, answer] = (await asked) as [unknown, ServerResponse];
      const second = sign('other', token({ sub: 'c', sans: ['c.example.test'] }));
      assert.equal(await Promise.race([first, second]), 'other 201');
      answer.writeHead(503).end();
      assert.equal(await first, 'slow 503');
    } finally {
      await busy.close();
      slow.closeAllConnections();
      slow.close();
    }
  });

  it('revoke by a token for that certificate, of the provisioner that it came by', async () => {
    const sans = ['b.example.test'];
    const { json } = await ask('POST', '/sign', {
      csr: await csr(),
      ott: token({ sub: 'b', sans }),
    });
    const serialOf = (pem: string) =>
      BigInt(`0x${certificatesFromPem(pem)[0]?.serialHex}`).toString();
    const serial = serialOf(json.crt);
    const aud = 'https://ca.test/1.0/revoke';
    const revoke = (of: string, ott: string, more: object = {}) =>
      ask('POST', '/1.0/revoke', { serial: of, ott, reasonCode: 1, passive: true, ...more });
    const other = await api.authority.issue({ csr: await request(), dns: ['c.example.test'] });
    const foreign = serialOf(encodePem('CERTIFICATE', issuedOf(other).chain[0]));
    const refusals: readonly (readonly [Promise<{ json: { message: string } }>, RegExp])[] = [
      [revoke(foreign, token({ aud, sub: foreign })), /ERR_PROVISIONER_UNKNOWN/],
      [revoke(serial, token({ aud, sub: foreign })), /is to be revoked/],
      [revoke(serial, token({ sub: serial })), /ERR_PROVISIONER_TOKEN/],
      [revoke(serial, token({ aud, sub: serial }), { reasonCode: 8 }), /no reason/],
      [revoke('twelve', token({ aud, sub: serial })), /"serial"/],
      [revoke(serial, ''), /ERR_API_CERTIFICATE_NEEDED/],
    ];
    for (const [refused, words] of refusals) assert.match((await refused).json.message, words);
    const revoked = await revoke(serial, token({ aud, sub: serial }));
    assert.deepEqual([revoked.status, revoked.json], [200, { status: 'ok' }]);
    const hex = BigInt(serial).toString(16);
    const status = await api.authority.ledger.certificateStatus(hex.padStart(40, '0'));
    assert.equal(status.status === 'revoked' && status.revocation.reason, 'keyCompromise');
  });
});

it('nothing is at those paths where ca.yaml does not say so', async () => {
  const api = await testApi();
  const { status } = await exchange(api, { method: 'GET', path: '/health' });
  assert.equal(status, 404);
  await api.close();
});

it('docs/step.md has an example that ca.yaml takes', () => {
  const docs = new URL('../../../../docs/step.md', import.meta.url);
  const example = /```yaml\n([\s\S]*?)```/.exec(readFileSync(docs, 'utf8'))?.[1] ?? '';
  const [, head = ''] = /^([\s\S]*?)provisioners:/.exec(yaml('')) ?? [];
  const config = parseCaConfig(`${head}${example}`, 'docs/step.md');
  assert.deepEqual([config.stepPaths, config.provisioners.length], [true, 1]);
});
