import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { testAuthority } from '../../test/authority-under-test.ts';
import { rootToken, VaultWorld } from '../../test/vault-under-test.ts';
import { parseCaConfig } from '../ca-config.ts';
import { initAuthority } from '../init-authority.ts';
import { backUpState, restoreState } from '../ledger/back-up-state.ts';
import { openAuthority } from '../open-authority.ts';
import { stateLayout } from '../state-layout.ts';

describe('the copy of what the Vault door keeps', () => {
  const shared = { clock: systemClock, log: noLog, meter: noMeter };
  let home = '';
  const at = (name: string) => join(home, name);
  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'countersign-vault-copy-'));
    await writeFile(at('root.token'), rootToken, { mode: 0o600 });
  });
  after(() => rm(home, { recursive: true, force: true }));

  it('brings a backup back with roles, logins and the keys of mounts, and nothing that was taken away', async () => {
    const configText = `
ca: { root: { curve: P-256 }, intermediate: { services: { curve: P-256 } } }
service_certificates:
  san_policies: { require_spiffe: false, spiffe_trust_domain: example.com, allowed_dns_patterns: ["**.example.test"] }
vault:
  mounts: { pki: { intermediate: services } }
  new_mounts: true
  tokens: [{ name: ops, token_file: ${at('root.token')}, policies: [root] }]
`;
    const config = parseCaConfig(configText, 'ca.yaml');
    await initAuthority({ config, data: at('one'), configText, ...shared });
    const open = async (data: string) => {
      const authority = await openAuthority({ config, data: at(data), ...shared });
      return await VaultWorld.over(authority, { copy: stateLayout(at(data)).vault });
    };

    // 1. Set up, and backed up while it runs.
    const one = await open('one');
    await one.must('POST', 'sys/mounts/team', { type: 'pki' });
    await one.must('POST', 'team/root/generate/internal', { common_name: 'Team', key_type: 'ec' });
    for (const mount of ['pki', 'team']) {
      await one.must('POST', `${mount}/roles/web`, { allow_any_name: true, key_type: 'ec' });
      await one.must('POST', `${mount}/roles/gone`, { allow_any_name: true });
    }
    const token = await one.tokenFor('path "pki/issue/web" { capabilities = ["update"] }');
    await one.must('POST', 'sys/auth/approle', { type: 'approle' });
    await one.must('POST', 'auth/approle/role/ci', { token_policies: 'own', role_id: 'ci-role' });
    const first = await one.must('POST', 'auth/approle/role/ci/secret-id');
    await one.must('DELETE', 'pki/roles/gone');
    const issued = await one.must('POST', 'team/issue/web', { common_name: 'a.example.test' });
    await one.edge.close();
    const { ledger } = one.authority;
    await backUpState({ data: at('one'), out: at('backup'), ledger, withKeyFiles: true });
    await one.close();
    const copy = await readFile(stateLayout(at('backup')).vault, 'utf8');
    for (const secret of [token, first.body.data.secret_id, rootToken, 'PRIVATE KEY']) {
      assert.ok(!copy.includes(secret));
    }
    assert.equal((await stat(stateLayout(at('one')).vault)).mode & 0o777, 0o600);

    // 2. Restored over another ledger.
    const places = { env: {}, readFile: async () => '' } as never;
    await restoreState({ from: at('backup'), data: at('two'), config, secrets: places, ...shared });
    const two = await open('two');
    const again = await two.must('POST', 'team/issue/web', { common_name: 'b.example.test' });
    assert.equal(again.body.data.issuing_ca, issued.body.data.issuing_ca);
    await two.must('POST', 'pki/issue/web', { common_name: 'c.example.test' });
    assert.equal((await two.ask('GET', 'pki/roles/gone')).status, 404);
    assert.equal(
      (await two.ask('GET', 'auth/token/lookup-self', undefined, { token })).status,
      403,
    );
    const { secret_id } = (await two.must('POST', 'auth/approle/role/ci/secret-id')).body.data;
    await two.must('POST', 'auth/approle/login', { role_id: 'ci-role', secret_id }, { token: '' });

    // 3. What is taken away afterwards is not brought back by the copy.
    await two.must('DELETE', 'team/roles/web');
    await two.close();
    const three = await open('two');
    assert.equal((await three.ask('GET', 'team/roles/web')).status, 404);
    await three.close();
  });

  it('is not passed over in silence where it cannot be read', async () => {
    const authority = await testAuthority({
      yaml: `
ca: { root: { curve: P-256 }, intermediate: { services: { curve: P-256 } } }
service_certificates: { san_policies: { spiffe_trust_domain: example.com } }
vault: { mounts: { pki: { intermediate: services } } }
`,
    });
    await writeFile(at('vault.json'), '{"format":"x"}');
    const opening = VaultWorld.over(authority, { copy: at('vault.json') });
    await assert.rejects(opening, { code: 'ERR_STATE_BROKEN', message: /no copy of this version/ });
    await authority.close();
  });
});
