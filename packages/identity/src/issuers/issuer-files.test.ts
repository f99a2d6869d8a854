import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readIdentity } from '../identity-files.ts';
import { accountKey } from './acme/account-key.ts';
import { readPrivateText, rootsOfFile, secretOfFile } from './issuer-files.ts';
import { readProvisionerKey } from './step-ca/provisioner-key.ts';

let directory = '';
const file = (name: string) => join(directory, name);
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'issuer-files-'));
});
after(() => rm(directory, { recursive: true, force: true }));

test('a pipe that nobody writes to is refused at once, whatever is expected in it', {
  timeout: 30_000,
}, async () => {
  execFileSync('mkfifo', [file('pipe'), file('key.pem'), file('chain.pem'), file('bundle.pem')]);
  const pipe = file('pipe');
  const why = /it is no plain file/;
  await assert.rejects(secretOfFile(pipe, 'token of Vault')(), why);
  await assert.rejects(rootsOfFile(pipe)(), why);
  await assert.rejects(readProvisionerKey(pipe, undefined), why);
  await assert.rejects(accountKey(pipe), why);
  await assert.rejects(readIdentity(directory), why);
});

test('a private key that everybody may read is refused, with what to do; one of a group is not', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const path = file('provisioner.jwk');
  await writeFile(path, JSON.stringify(privateKey.export({ format: 'jwk' })));
  await chmod(path, 0o644);
  await assert.rejects(readProvisionerKey(path, undefined), {
    code: 'ERR_ISSUER_SECRET',
    message: /everybody may read it, mode 0644, expected 0600$/,
    hint: `chmod 600 ${path}`,
  });
  await assert.rejects(readPrivateText(path), /mode 0644/);
  await chmod(path, 0o640);
  assert.equal((await readProvisionerKey(path, undefined)).key.type, 'private');
  assert.match(await readPrivateText(path), /"kty":"EC"/);
});
