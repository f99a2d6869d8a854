import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { countersign, temporaryDirectory } from './countersign.ts';

const script = join(import.meta.dirname, '..', '..', '..', 'examples', 'hsm', 'run.sh');
const found = spawnSync('softhsm2-util', ['--version']).status === 0;
const skip = found ? false : 'no softhsm2-util (Debian: apt-get install softhsm2)';

test('examples/hsm makes a token, serves an RSA-4096 hierarchy from it, and ends whole', {
  skip,
}, async (t) => {
  const directory = await temporaryDirectory(t);
  const child = spawn('bash', [script, join(directory, 'hsm')], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGTERM'));
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const exited = once(child, 'exit');
  const ready = await Promise.race([
    once(child.stdout, 'data').then(([chunk]) => String(chunk)),
    exited.then(() => assert.fail(`it ended:\n${said}`)),
  ]);
  const url = /^ready (https:\/\/127\.0\.0\.1:\d+)\n$/.exec(ready)?.[1];
  assert.ok(url !== undefined, ready);

  // every key is a reference into the token
  const data = join(directory, 'hsm', 'state');
  for (const name of ['root', 'intermediates/production', 'intermediates/staging']) {
    const { store, spki } = JSON.parse(await readFile(join(data, `${name}.key.json`), 'utf8'));
    assert.equal(store, 'pkcs11');
    assert.ok(typeof spki === 'string');
  }
  assert.equal(existsSync(join(data, 'unseal.key')), false);

  // names within the constraints of either intermediate, and outside of both
  for (const [dns, issuer] of [
    ['a.prod.internal', 'production'],
    ['a.staging.internal', 'staging'],
  ]) {
    const out = join(directory, issuer ?? '');
    const words = ['issue', '--data', data, '--spiffe-id', 'spiffe://example.com/a'];
    const ran = await countersign([...words, '--dns', dns ?? '', '--out', out]);
    assert.equal(ran.code, 0, ran.stderr);
    const verify = ['verify', '-x509_strict', '-verify_hostname', dns ?? '', '-CAfile'];
    const chain = join(out, 'chain.pem');
    const files = [join(out, 'bundle.pem'), '-untrusted', chain, chain];
    const openssl = spawnSync('openssl', [...verify, ...files], { encoding: 'utf8' });
    assert.equal(openssl.status, 0, openssl.stderr);
  }
  for (const dns of ['a.legacy.prod.internal', 'a.elsewhere.internal']) {
    const words = ['issue', '--data', data, '--spiffe-id', 'spiffe://example.com/a'];
    const ran = await countersign([...words, '--dns', dns, '--out', join(directory, 'refused')]);
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /ERR_POLICY_(?:DNS|NO_ISSUER)/);
  }

  child.kill('SIGTERM');
  const [code] = await exited;
  assert.equal(code, 0, said);
  await assert.rejects(fetch(url), 'the server has ended with the script');
  assert.equal(existsSync(join(data, 'admin.sock')), false);
});
