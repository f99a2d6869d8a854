import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { noLog, noMeter, Secret, systemClock } from '@countersign/base';
import { type CaConfig, parseCaConfig } from '../ca-config.ts';
import { initAuthority } from '../init-authority.ts';
import { openAuthority } from '../open-authority.ts';
import { readStateManifest } from '../state-layout.ts';

const folder = mkdtempSync(join(tmpdir(), 'countersign-seal-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const parts = { clock: systemClock, log: noLog, meter: noMeter };

function configOf(seal: string): CaConfig {
  const services = 'service_certificates: { san_policies: { spiffe_trust_domain: example.com } }';
  return parseCaConfig(`ca: {}\n${services}\n${seal}\n`, 'ca.yaml');
}

test('keys in files are sealed with a passphrase from the environment variable that ca.yaml names', async () => {
  const config = configOf('seal: { passphrase_env: CA_PASSPHRASE }');
  const data = join(folder, 'environment');
  const secrets = { env: { CA_PASSPHRASE: 'correct horse' } };
  const { keyFile } = await initAuthority({ config, data, secrets, ...parts });
  assert.equal(keyFile, undefined);
  assert.deepEqual((await readStateManifest(data)).seal, { kind: 'passphrase' });
  await (await openAuthority({ config, data, secrets, ...parts })).close();
  await assert.rejects(openAuthority({ config, data, ...parts }), {
    code: 'ERR_SIGNER_SECRET',
    message:
      'read the passphrase of the keys from environment variable "CA_PASSPHRASE": it is not set',
  });
  const wrong = { env: { CA_PASSPHRASE: 'wrong donkey' } };
  await assert.rejects(openAuthority({ config, data, secrets: wrong, ...parts }), {
    code: 'ERR_KEY_SEALED',
  });
});

test('a passphrase in a file and one on the terminal open the same keys', async () => {
  const file = join(folder, 'passphrase');
  writeFileSync(file, 'correct horse\n', { mode: 0o600 });
  const data = join(folder, 'file');
  const config = configOf(`seal: { passphrase: "@${file}" }`);
  await initAuthority({ config, data, ...parts });
  const questions: string[] = [];
  const prompt = async (question: string) => {
    questions.push(question);
    return new Secret('correct horse');
  };
  const asking = { config: configOf(''), data, secrets: { env: {}, prompt }, ...parts };
  await (await openAuthority(asking)).close();
  assert.deepEqual(questions, ['passphrase of the keys']);
  await assert.rejects(openAuthority({ ...asking, secrets: { env: {} } }), {
    code: 'ERR_KEY_SEALED',
    message: /sealed with a passphrase, none is given$/,
  });
});

test('a passphrase that ca.yaml names does not open what a key file seals, and says so', async () => {
  const data = join(folder, 'key-file');
  await initAuthority({ config: configOf(''), data, ...parts });
  const config = configOf('seal: { passphrase_env: CA_PASSPHRASE }');
  await assert.rejects(openAuthority({ config, data, ...parts }), {
    code: 'ERR_KEY_SEALED',
    message: /sealed with the key file ".*unseal\.key", ca\.yaml says a passphrase$/,
  });
});
