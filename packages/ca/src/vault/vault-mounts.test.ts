import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { certificatesFromPem, parseCrl, validatePath } from '@countersign/x509';
import { requestPem, VaultWorld } from '../../test/vault-under-test.ts';
import { VaultEdge } from './vault-edge.ts';

describe('mounts that are made over the API', () => {
  let world: VaultWorld;
  before(async () => {
    world = await VaultWorld.start();
  });
  after(() => world.close());

  it('are authorities of their own in the ledger, from root to leaf', async () => {
    await world.must('POST', 'sys/mounts/team/root', { type: 'pki' });
    await world.must('POST', 'sys/mounts/team/int', {
      type: 'pki',
      config: { max_lease_ttl: '48h' },
    });
    const root = await world.must('POST', 'team/root/root/generate/internal', {
      common_name: 'Team Root',
      ttl: '2000h',
      key_type: 'ec',
      issuer_name: 'main',
    });
    assert.equal('private_key' in root.body.data, false);
    const csr = (
      await world.must('POST', 'team/int/intermediate/generate/internal', {
        common_name: 'Team',
        key_type: 'ec',
      })
    ).body.data.csr;
    const asked = {
      csr,
      common_name: 'Team',
      ttl: '1900h',
      format: 'pem_bundle',
      permitted_dns_domains: 'example.test',
    };
    const signed = await world.must('POST', 'team/root/root/sign-intermediate', asked);
    const taken = await world.must('POST', 'team/int/intermediate/set-signed', {
      certificate: signed.body.data.certificate,
    });
    assert.equal(taken.body.data.imported_issuers.length, 2);
    const urls = {
      crl_distribution_points: 'http://ca.example.test/team.crl',
      issuing_certificates: 'http://ca.example.test/team.cer',
    };
    await world.must('POST', 'team/int/config/urls', urls);
    await world.must('POST', 'team/int/roles/web', {
      allow_any_name: true,
      key_type: 'ec',
      generate_lease: true,
      ttl: '1h',
    });
    const issued = await world.must('POST', 'team/int/issue/web', {
      common_name: 'web.example.test',
    });
    const { data, lease_id, lease_duration } = issued.body;
    assert.match(lease_id, /^team\/int\/issue\/web\//);
    assert.ok(lease_duration > 3500 && lease_duration <= 3600);

    const [leaf] = certificatesFromPem(data.certificate);
    const [issuer, top, more] = certificatesFromPem(data.ca_chain.join('\n'));
    assert.ok(leaf && issuer && top && more === undefined);
    const path = validatePath({
      leaf,
      intermediates: [issuer],
      anchors: [top],
      at: Date.now(),
      purpose: 'server',
    });
    assert.ok(path.ok, path.ok ? '' : path.detail);
    assert.match(new X509Certificate(data.certificate).infoAccess ?? '', /team\.cer/);
    const record = await world.authority.ledger.certificate(leaf.serialHex);
    assert.deepEqual(
      [record?.provisioner, record?.issuer.startsWith('vault~')],
      ['vault/team/int', true],
    );
    // Not one of ours: nobody who trusts this authority trusts that one.
    assert.equal(world.authority.bundle().authorities.length, 1);

    // What ca.yaml does not let is refused there as everywhere, and so is what the constraints leave out.
    await world.refused(400, /"evil.invalid"/, 'POST', 'team/int/issue/web', {
      common_name: 'evil.invalid',
    });
    await world.refused(400, /permits "example.test"/, 'POST', 'team/int/issue/web', {
      common_name: 'localhost',
    });

    // The end of its lease revokes it, and it is on the list of its own issuer alone.
    await world.must('PUT', 'sys/leases/revoke', { lease_id });
    const list = async (mount: string) => {
      const { text } = await world.must('GET', `${mount}/crl`, undefined, { token: '' });
      return parseCrl(Buffer.from(text, 'latin1'));
    };
    assert.ok((await list('team/int')).entries.has(leaf.serialHex));
    assert.equal((await list('team/root')).entries.size, 0);
    assert.equal((await list('pki')).entries.size, 0);
    assert.equal((await world.ask('GET', `team/root/cert/${leaf.serialHex}`)).status, 404);
  });

  it('are the same for every process over the ledger, and gone for all of them', async () => {
    const { authority } = world;
    const config = authority.config.vault;
    assert.ok(config);
    const other = await VaultEdge.open({
      config,
      authority,
      version: '0',
      clock: systemClock,
      log: noLog,
      meter: noMeter,
    });
    const ask = (path: string) =>
      other.answer({
        method: 'GET',
        url: `/v1/${path}`,
        headers: {},
        from: '',
        shown: () => [],
        body: async () => new Uint8Array(),
      });
    await world.must('POST', 'sys/mounts/both', { type: 'pki' });
    await world.must('POST', 'both/root/generate/internal', {
      common_name: 'Both',
      key_type: 'ec',
    });
    assert.equal((await ask('both/ca/pem')).status, 200);
    const twice = await Promise.all(
      [1, 2, 3].map(() => world.ask('POST', 'sys/mounts/once', { type: 'pki' })),
    );
    assert.deepEqual(twice.map(({ status }) => status).toSorted(), [204, 400, 400]);
    await world.must('DELETE', 'sys/mounts/both');
    assert.equal((await ask('both/ca/pem')).status, 403);
    await other.close();
  });

  it('have lists that last as they say, and issuers that sign no more once they are revoked', async () => {
    await world.must('POST', 'sys/mounts/lists', { type: 'pki' });
    await world.must('POST', 'lists/root/generate/internal', {
      common_name: 'Lists',
      key_type: 'ec',
    });
    await world.must('POST', 'lists/roles/web', { allow_any_name: true, key_type: 'ec' });
    const hoursOf = async () => {
      const { text } = await world.must('GET', 'lists/crl', undefined, { token: '' });
      const { thisUpdate, nextUpdate = 0 } = parseCrl(Buffer.from(text, 'latin1'));
      return Math.round((nextUpdate - thisUpdate) / 3_600_000);
    };
    const before = await hoursOf();
    await world.must('POST', 'lists/config/crl', { expiry: '96h' });
    assert.deepEqual([before, await hoursOf()], [24, 96]);
    await world.refused(400, /^"enable_delta" is not supported/, 'POST', 'lists/config/crl', {
      enable_delta: true,
    });
    await world.refused(400, /from 10m to 8760h/, 'POST', 'lists/config/crl', { expiry: '1s' });
    const issue = ['POST', 'lists/issue/web', { common_name: 'a.example.test' }] as const;
    await world.must(...issue);
    const revoked = await world.must('POST', 'lists/issuer/default/revoke');
    assert.equal(revoked.body.data.revoked, true);
    await world.refused(400, /revoked/, ...issue);
    assert.equal(await hoursOf(), 96);
  });

  it('sign no authority beyond what they may', async () => {
    await world.must('POST', 'sys/mounts/flat', { type: 'pki' });
    await world.must('POST', 'flat/root/generate/internal', {
      common_name: 'Flat',
      key_type: 'ec',
      max_path_length: 0,
    });
    const csr = await requestPem();
    const below = (body: object) =>
      ['POST', 'flat/root/sign-intermediate', { csr, common_name: 'Below', ...body }] as const;
    await world.refused(400, /path length is 0/, ...below({}));
    await world.refused(
      400,
      /^"alt_names" is not supported/,
      ...below({ alt_names: 'a.example.test' }),
    );
    await world.refused(400, /common_name field is required/, ...below({ common_name: '' }));
    await world.refused(400, /is no authority|too short/, 'POST', 'flat/intermediate/set-signed', {
      certificate: 'x',
    });
    await world.refused(400, /none is taken in/, 'POST', 'flat/config/ca', {
      pem_bundle: `-----BEGIN PRIVATE KEY-----\n${'A'.repeat(80)}\n-----END PRIVATE KEY-----`,
    });
  });

  it('are not made where ca.yaml has a path, or its own API', async () => {
    const mount = (path: string) => ['POST', `sys/mounts/${path}`, { type: 'pki' }] as const;
    await world.refused(400, /already in use/, ...mount('pki'));
    await world.refused(400, /conflicts/, ...mount('pki/below'));
    for (const path of ['sys', 'auth/x', 'revoke', 'enrol', 'a b', '../x', 'admin']) {
      await world.refused(400, /cannot mount/, ...mount(path));
    }
  });
});
