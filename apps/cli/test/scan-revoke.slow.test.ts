import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';
import { done, put, scan } from './scan-runs.ts';

test('the certificates of a key are named, and revoked by the command it prints or by --revoke', async (t) => {
  const directory = await temporaryDirectory(t);
  const state = join(directory, 'state');
  await writeFile(join(directory, 'ca.yaml'), authorityYaml());
  await done(['init', '--config', join(directory, 'ca.yaml'), '--data', state]);
  for (const name of ['payments', 'orders']) {
    const out = join(directory, name);
    await done(['issue', '--data', state, '--spiffe-id', id(name), '--out', out]);
    await chmod(join(out, 'key.pem'), 0o644);
  }
  const { privateKey } = generateKeyPairSync('ed25519');
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' });
  await put(join(directory, 'stranger.pem'), pem, 0o644);
  const places = ['payments', 'orders', 'stranger.pem'].map((name) => join(directory, name));

  // 1. without a server, from the state; by the printed command
  const found = await scan([...places, '--data', state], 1);
  const [payments, orders, stranger] = found.findings;
  assert.equal(payments?.certificates?.[0]?.spiffeId, id('payments'));
  assert.equal(payments?.certificates?.[0]?.status, 'good');
  assert.deepEqual(stranger?.certificates, []);
  assert.equal(stranger?.revoke, undefined);
  const words = payments?.revoke?.split(' ') ?? [];
  assert.equal(words[0], 'countersign');
  assert.ok(words.includes(payments?.spkiHash ?? 'none') && words.includes('keyCompromise'));
  const revoked = await done(words.slice(1));
  assert.match(revoked, /^revoked key [0-9a-f]{64} \(keyCompromise\): 1 unexpired certificate/);

  // 2. with a server, over its admin socket
  const server = await startCountersign(t, [
    ...['ca', 'serve', '--config', join(directory, 'ca.yaml'), '--data', state, '--port', '0'],
  ]);
  const again = await scan([...places, '--data', state, '--revoke', '--dry-run'], 1);
  assert.equal(again.findings[0]?.certificates?.[0]?.status, 'revoked');
  assert.equal(again.findings[0]?.revoke, undefined);
  assert.equal(again.findings[1]?.certificates?.[0]?.status, 'good');

  assert.deepEqual(
    again.revocations?.map(({ value, matched, dryRun }) => [value, matched, dryRun]),
    [[orders?.spkiHash, 1, true]],
  );

  const now = await countersign(['scan', ...places, '--data', state, '--revoke', '--yes']);
  assert.equal(now.code, 1, now.stderr);
  assert.match(now.stdout, /would revoke key [\s\S]*\nrevoked key [0-9a-f]{64}: 1 unexpired/);
  await server.end();
});

test('options that would do nothing are refused before anything is read', async () => {
  const refused: [string[], RegExp][] = [
    [['--revoke'], /--revoke needs --data/],
    [['--yes'], /--yes is of use with --revoke/],
    [['--dry-run'], /--dry-run is of use with --revoke/],
    [['--config', 'ca.yaml'], /are of use with --data/],
    // nobody is at a terminal to be asked
    [['--data', 'state', '--revoke'], /add --yes/],
  ];
  for (const [words, reason] of refused) {
    const ran = await countersign(['scan', '.', ...words]);
    assert.equal(ran.code, 2, words.join());
    assert.match(ran.stderr, reason);
    assert.equal(lastLine(ran.stderr), 'ERR_USAGE');
  }
});
