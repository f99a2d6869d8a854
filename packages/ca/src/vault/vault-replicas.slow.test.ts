import assert from 'node:assert/strict';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { type PostgresServer, postgresServer } from '@countersign/testkit';
import { rootToken, VaultWorld } from '../../test/vault-under-test.ts';
import { parseCaConfig } from '../ca-config.ts';
import { initAuthority } from '../init-authority.ts';
import { openAuthority } from '../open-authority.ts';

const found = await postgresServer({ given: process.env.DATABASE_URL });
if ('skip' in found) it('the Vault door of two processes', { skip: found.skip }, () => {});
else replicas(found);

function replicas(server: PostgresServer): void {
  describe('the Vault door of two processes over one PostgreSQL', () => {
    let home = '';
    let [one, two]: [VaultWorld, VaultWorld] = [undefined as never, undefined as never];

    before(async () => {
      home = await mkdtemp(join(tmpdir(), 'countersign-vault-replicas-'));
      await writeFile(join(home, 'root.token'), rootToken, { mode: 0o600 });
      const yaml = `
ca: { root: { curve: P-256 }, intermediate: { services: { curve: P-256 } } }
service_certificates:
  san_policies: { require_spiffe: false, spiffe_trust_domain: example.com, allowed_dns_patterns: ["**.example.test"] }
vault:
  mounts: { pki: { intermediate: services } }
  new_mounts: true
  tokens: [{ name: ops, token_file: ${join(home, 'root.token')}, policies: [root] }]
ledger: { postgres: { url: "${server.url}", schema: vault_${process.pid} } }
`;
      const config = parseCaConfig(yaml, 'ca.yaml');
      const shared = { clock: systemClock, log: noLog, meter: noMeter };
      await initAuthority({ config, data: join(home, 'one'), configText: yaml, ...shared });
      await cp(join(home, 'one'), join(home, 'two'), { recursive: true });
      const open = async (data: string) =>
        await VaultWorld.over(await openAuthority({ config, data: join(home, data), ...shared }));
      [one, two] = [await open('one'), await open('two')];
    });
    after(async () => {
      await one.close();
      await two.close();
      await server.close();
      await rm(home, { recursive: true, force: true });
    });

    it('knows what the other was told, at once', async () => {
      await one.must('POST', 'pki/roles/web', { allow_any_name: true, key_type: 'ec' });
      const token = await one.tokenFor('path "pki/issue/web" { capabilities = ["update"] }');
      const asked = [
        'POST',
        'pki/issue/web',
        { common_name: 'a.example.test' },
        { token },
      ] as const;
      await two.must(...asked);
      await two.must('POST', 'auth/token/revoke', { token });
      assert.equal((await one.ask(...asked)).status, 403);
    });

    it('opens the keys of mounts that the other has made', async () => {
      await one.must('POST', 'sys/mounts/team', { type: 'pki' });
      await one.must('POST', 'team/root/generate/internal', {
        common_name: 'Team',
        key_type: 'ec',
      });
      await two.must('POST', 'team/roles/web', { allow_any_name: true, key_type: 'ec' });
      const issued = await two.must('POST', 'team/issue/web', { common_name: 'b.example.test' });
      await one.must('POST', 'team/revoke', { serial_number: issued.body.data.serial_number });
      const status = await two.must('GET', `team/cert/${issued.body.data.serial_number}`);
      assert.notEqual(status.body.data.revocation_time, 0);
      const mounts = [one, two, one, two].map((each) =>
        each.ask('POST', 'sys/mounts/once', { type: 'pki' }),
      );
      const made = (await Promise.all(mounts)).filter(({ status: each }) => each === 204);
      assert.equal(made.length, 1);
    });

    it('takes a secret id as often as it is good, and no more, whoever is asked', async () => {
      await one.must('POST', 'sys/auth/approle', { type: 'approle' });
      await one.must('POST', 'auth/approle/role/ci', {
        token_policies: 'web',
        secret_id_num_uses: 3,
      });
      const role_id = (await two.must('GET', 'auth/approle/role/ci/role-id')).body.data.role_id;
      const { secret_id } = (await one.must('POST', 'auth/approle/role/ci/secret-id')).body.data;
      const logins = Array.from({ length: 8 }, (_, i) =>
        (i % 2 === 0 ? one : two).ask(
          'POST',
          'auth/approle/login',
          { role_id, secret_id },
          { token: '' },
        ),
      );
      const good = (await Promise.all(logins)).filter(({ status }) => status === 200);
      assert.equal(good.length, 3);
    });

    it('gives no serial twice where both sign at once', async () => {
      const asked = Array.from({ length: 60 }, (_, i) =>
        (i % 2 === 0 ? one : two).must('POST', 'pki/issue/web', {
          common_name: `n${i}.example.test`,
        }),
      );
      const serials = (await Promise.all(asked)).map(({ body }) => body.data.serial_number);
      assert.equal(new Set(serials).size, 60);
      const listed = await one.must('LIST', 'pki/certs');
      for (const serial of serials) assert.ok(listed.body.data.keys.includes(serial));
    });
  });
}
