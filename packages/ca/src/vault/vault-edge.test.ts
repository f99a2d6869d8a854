import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type Log, noMeter, systemClock } from '@countersign/base';
import {
  buildName,
  certificatesFromPem,
  encodePem,
  fingerprintOf,
  parseCrl,
  validatePath,
} from '@countersign/x509';
import { request } from '../../test/authority-under-test.ts';
import { requestPem, rootToken, VaultWorld } from '../../test/vault-under-test.ts';
import { VaultEdge } from './vault-edge.ts';

describe('the Vault edge, over an intermediate of ca.yaml', () => {
  let world: VaultWorld;
  before(async () => {
    world = await VaultWorld.start();
    await world.must('POST', 'pki/roles/web', {
      allowed_domains: 'example.test',
      allow_subdomains: true,
      key_type: 'ec',
      max_ttl: '48h',
    });
  });
  after(() => world.close());

  it('signs by a role for whom a policy lets, by POST and PUT, with either header', async () => {
    const token = await world.tokenFor('path "pki/sign/web" { capabilities = ["update"] }');
    const names = [{ kind: 'dns' as const, value: 'web.example.test' }];
    const csr = await requestPem({
      names,
      subject: buildName([{ type: 'CN', value: 'web.example.test' }]),
    });
    const first = await world.must('POST', 'pki/sign/web', { csr, ttl: '1h' }, { token });
    const { data } = first.body;
    const leaf = new X509Certificate(data.certificate);
    assert.equal(leaf.subject, 'CN=web.example.test');
    assert.equal(leaf.subjectAltName, 'DNS:web.example.test');
    assert.match(data.serial_number, /^01(:[0-9a-f]{2}){19}$/);
    assert.equal(data.expiration, Date.parse(leaf.validTo) / 1000);
    assert.equal(data.private_key, undefined);
    const [issuing, root] = certificatesFromPem(data.ca_chain.join('\n'));
    assert.ok(root && issuing);
    assert.equal(fingerprintOf(root), world.authority.rootFingerprint);
    assert.equal(data.issuing_ca, data.ca_chain[0]);
    await world.must(
      'PUT',
      'pki/sign/web',
      { csr },
      { token: '', headers: { authorization: `Bearer ${token}` } },
    );
    await world.refused(403, /permission denied/, 'GET', 'pki/roles/web', undefined, { token });

    // In the ledger: by the mount's provisioner, with who asked.
    const serial = data.serial_number.replaceAll(':', '');
    const record = await world.authority.ledger.certificate(serial);
    assert.equal(record?.provisioner, 'vault');
    assert.match(record?.grantedBy ?? '', /^vault pki\/sign\/web by token /);
  });

  it('makes a key where it is asked for, in each format', async () => {
    const asked = { common_name: 'key.example.test', ttl: '1h' };
    const { data } = (await world.must('POST', 'pki/issue/web', asked)).body;
    assert.match(data.private_key, /^-----BEGIN EC PRIVATE KEY-----/);
    assert.equal(data.private_key_type, 'ec');
    const bundle = await world.must('POST', 'pki/issue/web', {
      ...asked,
      format: 'pem_bundle',
      private_key_format: 'pkcs8',
      remove_roots_from_chain: true,
    });
    assert.equal(bundle.body.data.certificate.match(/BEGIN CERTIFICATE/g).length, 2);
    assert.match(bundle.body.data.certificate, /^-----BEGIN PRIVATE KEY-----/);
    const der = await world.must('POST', 'pki/issue/web', { ...asked, format: 'der' });
    assert.equal(Buffer.from(der.body.data.certificate, 'base64')[0], 0x30);
  });

  it('takes names from beside the request where a role says so, and usages away from the profile', async () => {
    await world.must('POST', 'pki/roles/beside', {
      allow_any_name: true,
      use_csr_common_name: false,
      use_csr_sans: false,
      key_type: 'any',
      client_flag: false,
      allowed_uri_sans: 'spiffe://example.com/ns/*',
      require_cn: false,
    });
    const asked = {
      csr: await requestPem(),
      alt_names: 'a.example.test,b.example.test',
      ip_sans: '10.0.0.1',
      uri_sans: 'spiffe://example.com/ns/a/sa/b',
    };
    const { data } = (await world.must('POST', 'pki/sign/beside', asked)).body;
    const leaf = new X509Certificate(data.certificate);
    assert.equal(
      leaf.subjectAltName,
      'URI:spiffe://example.com/ns/a/sa/b, DNS:a.example.test, DNS:b.example.test, IP Address:10.0.0.1',
    );
    assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1']);
    const foreign = { ...asked, uri_sans: 'spiffe://other.example/x' };
    await world.refused(400, /not valid for this role/, 'POST', 'pki/sign/beside', foreign);
    // What the role lets, ca.yaml may not: it narrows, and never widens.
    await world.refused(400, /"evil.invalid"/, 'POST', 'pki/sign/beside', {
      ...asked,
      alt_names: 'evil.invalid',
    });
  });

  it('refuses what a role does not allow, in the words that clients match on', async () => {
    const issue = (body: object) => ['POST', 'pki/issue/web', body] as const;
    await world.refused(
      400,
      'common name evil.invalid not allowed by this role',
      ...issue({ common_name: 'evil.invalid' }),
    );
    await world.refused(
      400,
      'common name example.test not allowed by this role',
      ...issue({ common_name: 'example.test' }),
    );
    await world.refused(
      400,
      'subject alternate name evil.invalid not allowed by this role',
      ...issue({ common_name: 'a.example.test', alt_names: 'evil.invalid' }),
    );
    await world.refused(400, /common_name field is required/, ...issue({}));
    await world.refused(400, 'unknown role: none', 'POST', 'pki/issue/none', {
      common_name: 'a.example.test',
    });
    await world.refused(
      400,
      /Either ttl or not_after/,
      ...issue({ common_name: 'a.example.test', ttl: '1h', not_after: '2030-01-01T00:00:00Z' }),
    );
    await world.refused(400, 'role requires keys of type ec', 'POST', 'pki/sign/web', {
      csr: await requestPem({ key: { type: 'Ed25519' } }),
      common_name: 'a.example.test',
    });
    const cut = await world.must('POST', 'pki/issue/web', {
      common_name: 'a.example.test',
      ttl: '100h',
    });
    assert.deepEqual(cut.body.warnings, [
      'TTL "100h0m0s" is longer than permitted maxTTL "48h0m0s", so maxTTL is being used',
    ]);
  });

  it('knows every field of a role, or refuses it by its name', async () => {
    const { body } = await world.must('GET', 'pki/roles/web');
    for (const [name, value] of Object.entries({
      ou: ['x'],
      use_pss: true,
      no_store: true,
      allowed_other_sans: ['1.2.3;utf8:x'],
      allowed_domains_template: true,
    })) {
      assert.ok(name in body.data);
      await world.refused(
        400,
        new RegExp(`^"${name}" is not supported`),
        'POST',
        'pki/roles/other',
        { [name]: value },
      );
    }
    await world.refused(400, 'unknown key type foo', 'POST', 'pki/roles/other', {
      key_type: 'foo',
    });
    // Terraform and the like send what they leave at its default.
    await world.must('POST', 'pki/roles/other', body.data);
    const odd = await world.must('POST', 'pki/roles/other', { ...body.data, nonsense: 1 });
    assert.deepEqual(odd.body.warnings, [
      'Endpoint ignored these unrecognized parameters: [nonsense]',
    ]);
    await world.must('PATCH', 'pki/roles/other', { ttl: '2h' });
    const patched = await world.must('GET', 'pki/roles/other');
    assert.deepEqual([patched.body.data.ttl, patched.body.data.max_ttl], [7200, 172_800]);
    const listed = await world.must('LIST', 'pki/roles');
    assert.deepEqual(listed.body.data.keys.includes('other'), true);
    assert.deepEqual((await world.must('GET', 'pki/roles?list=true')).body.data, listed.body.data);
    await world.must('DELETE', 'pki/roles/other');
    assert.deepEqual((await world.ask('GET', 'pki/roles/other')).body, { errors: [] });
  });

  it('revokes by the one flow, and what it revoked is on its list', async () => {
    const { data } = (
      await world.must('POST', 'pki/issue/web', { common_name: 'gone.example.test' })
    ).body;
    const { serial_number, private_key } = data;
    const revoked = await world.must('POST', 'pki/revoke', { serial_number });
    assert.equal(revoked.body.data.state, 'revoked');
    const again = await world.must('POST', 'pki/revoke', {
      serial_number: serial_number.replaceAll(':', '-'),
    });
    assert.equal(again.body.data.revocation_time, revoked.body.data.revocation_time);
    const shown = await world.must('GET', `pki/cert/${serial_number}`, undefined, { token: '' });
    assert.equal(shown.body.data.revocation_time, revoked.body.data.revocation_time);
    const list = await world.must('GET', 'pki/crl', undefined, { token: '' });
    const crl = parseCrl(Buffer.from(list.text, 'latin1'));
    assert.equal(crl.issuer.raw.byteLength > 0, true);
    assert.ok(crl.entries.has(serial_number.replaceAll(':', '')));

    const other = (await world.must('POST', 'pki/issue/web', { common_name: 'other.example.test' }))
      .body.data;
    await world.refused(400, /does not match/, 'POST', 'pki/revoke-with-key', {
      serial_number: other.serial_number,
      private_key,
    });
    await world.must('POST', 'pki/revoke-with-key', {
      serial_number: other.serial_number,
      private_key: other.private_key,
    });
    await world.refused(400, 'certificate with serial 11:22 not found.', 'POST', 'pki/revoke', {
      serial_number: '11:22',
    });
  });

  it('does not show or revoke what the mount has not signed', async () => {
    const issued = await world.authority.issue({
      csr: await request(),
      dns: ['apart.example.test'],
    });
    assert.ok(issued.ok);
    const serial = issued.serialHex;
    assert.equal((await world.ask('GET', `pki/cert/${serial}`)).status, 404);
    await world.refused(400, /not found/, 'POST', 'pki/revoke', { serial_number: serial });
  });

  it('gives no key of an authority away, and leaves what is in ca.yaml to ca.yaml', async () => {
    await world.refused(400, /intermediate of ca.yaml/, 'POST', 'pki/root/generate/internal', {
      common_name: 'x',
    });
    await world.refused(
      400,
      /keys of authorities stay here/,
      'POST',
      'pki/root/generate/exported',
      { common_name: 'x' },
    );
    await world.refused(403, /signs no intermediates/, 'POST', 'pki/root/sign-intermediate', {
      csr: 'x',
      common_name: 'x',
    });
    await world.refused(400, /"publish" of ca.yaml/, 'POST', 'pki/config/urls', {
      ocsp_servers: 'http://x',
    });
    await world.refused(400, /one of ca.yaml/, 'DELETE', 'sys/mounts/pki');
  });

  it('has an intermediate of ca.yaml sign an authority where ca.yaml says so, and it leads to our root', async () => {
    const asked = { common_name: 'Below', key_type: 'ec' };
    await world.must('POST', 'sys/mounts/below', { type: 'pki' });
    const { csr } = (await world.must('POST', 'below/intermediate/generate/internal', asked)).body
      .data;
    const signed = await world.must('POST', 'signing/root/sign-intermediate', {
      ...asked,
      csr,
      ttl: '100h',
    });
    const certificate = signed.body.data.ca_chain.join('\n');
    await world.must('POST', 'below/intermediate/set-signed', { certificate });
    await world.must('POST', 'below/roles/web', { allow_any_name: true, key_type: 'ec' });
    const { data } = (
      await world.must('POST', 'below/issue/web', { common_name: 'a.example.test' })
    ).body;
    const [leaf, ...intermediates] = certificatesFromPem(
      [data.certificate, ...data.ca_chain].join('\n'),
    );
    assert.ok(leaf);
    const anchors = world.authority.bundle().authorities;
    const path = validatePath({ leaf, intermediates, anchors, at: Date.now(), purpose: 'server' });
    assert.ok(path.ok, path.ok ? '' : path.detail);
    assert.equal(path.chain.length, 4);
  });

  it('is ruled by ca.yaml by who logged in, too', async () => {
    const rules = `
policy:
  rules:
    - { name: usual, allow: ["**.example.test"] }
    - { name: not-by-token, callers: ["vault:token/*"], deny: ["dns:secret.example.test"] }`;
    const ruled = await VaultWorld.start(undefined, rules);
    await ruled.must('POST', 'pki/roles/web', { allow_any_name: true, key_type: 'ec' });
    const issue = (name: string) => ['POST', 'pki/issue/web', { common_name: name }] as const;
    await ruled.must(...issue('open.example.test'));
    await ruled.refused(400, /rule "not-by-token" denies/, ...issue('secret.example.test'));
    await ruled.close();
  });

  it('refuses wrapping by its name, and takes a namespace header', async () => {
    await world.refused(
      400,
      /^"X-Vault-Wrap-TTL" is not supported/,
      'POST',
      'pki/issue/web',
      { common_name: 'a.example.test' },
      { headers: { 'x-vault-wrap-ttl': '60s' } },
    );
    await world.must('GET', 'pki/roles/web', undefined, {
      headers: { 'x-vault-namespace': 'team' },
    });
  });

  it('tells nobody a secret that stands in the wrong place', async () => {
    const lines: string[] = [];
    const tell = (fields: unknown, message: string) =>
      void lines.push(`${JSON.stringify(fields)} ${message}`);
    const log: Log = { debug: tell, info: tell, warn: tell, error: tell, child: () => log };
    const { authority } = world;
    const config = authority.config.vault;
    assert.ok(config);
    const edge = await VaultEdge.open({
      config,
      authority,
      version: '0',
      clock: systemClock,
      log,
      meter: noMeter,
    });
    const secret = 'hvs.abcdefghijklmnop-secret';
    const ask = (path: string, body: object) =>
      edge.answer({
        ...{ method: 'POST', url: `/v1/${path}`, from: '192.0.2.9', shown: () => [] },
        headers: { 'x-vault-token': rootToken },
        body: async () => Buffer.from(JSON.stringify(body)),
      });
    assert.equal((await ask(`auth/token/revoke/${secret}`, {})).status, 404);
    const told = await ask('auth/token/lookup', { token: { is: secret } });
    assert.equal(told.status, 400);
    assert.equal((await ask('auth/token/lookup', { token: secret })).status, 403);
    const said = [...lines, String(told.body)].join('\n');
    assert.ok(
      lines.length > 0 && !said.includes('abcdefghijklmnop') && !said.includes(rootToken),
      said,
    );
    await edge.close();
  });

  it('answers hostile requests with one clear error each', async () => {
    await world.refused(400, /decode JSON/, 'POST', 'pki/issue/web', '{bad');
    await world.refused(
      400,
      /more than 8 levels/,
      'POST',
      'pki/issue/web',
      `{"a":${'['.repeat(60)}${']'.repeat(60)}}`,
    );
    await world.refused(400, /no JSON object/, 'POST', 'pki/issue/web', '[1]');
    await world.refused(400, /certificate request could not be parsed/, 'POST', 'pki/sign/web', {
      csr: encodePem('CERTIFICATE REQUEST', Buffer.from('zz')),
    });
    await world.refused(404, /no handler for route/, 'GET', '..%2f..%2fsys');
    await world.refused(404, /unsupported path/, 'GET', 'pki/nonsense');
    await world.refused(405, /unsupported operation/, 'GET', 'pki/issue/web');
    assert.equal((await world.ask('GET', 'pki/cert/%00%ff')).status, 404);
    await world.refused(403, 'permission denied', 'GET', 'pki/roles/web', undefined, { token: '' });
    const flood = { token: 'hvs.guess', from: '198.51.100.7' };
    for (let i = 0; i < 5; i += 1)
      await world.refused(403, 'permission denied', 'GET', 'pki/roles/web', undefined, flood);
    await world.refused(429, /too many/, 'GET', 'pki/roles/web', undefined, flood);
    // The innocent caller behind the same address goes on.
    await world.must('GET', 'pki/roles/web', undefined, { from: flood.from, token: rootToken });
  });
});
