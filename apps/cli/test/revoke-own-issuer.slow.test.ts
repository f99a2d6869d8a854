import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect } from 'node:tls';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

const timeout = 180_000;

async function begin(t: TestContext, intermediates: string) {
  const home = await temporaryDirectory(t);
  const yaml = authorityYaml().replace(
    'service_certificates:',
    `${intermediates}service_certificates:`,
  );
  await writeFile(join(home, 'ca.yaml'), yaml);
  const data = ['--data', join(home, 'state')];
  const config = ['--config', join(home, 'ca.yaml')];
  const run = (...words: string[]) => countersign([...words, ...data]);
  const done = async (...words: string[]) => {
    const ran = await run(...words);
    assert.equal(ran.code, 0, `${words.join(' ')}\n${ran.stderr}`);
    return ran;
  };
  await done('init', ...config);
  const serve = () =>
    startCountersign(t, ['ca', 'serve', ...config, ...data, '--port', '0'], { timeoutMs: timeout });
  const status = async () => JSON.parse((await run('ca', 'status', '-o', 'json')).stdout);
  return { home, run, done, serve, status, config, data };
}

/** Subject of whoever signed what the authority serves with. */
function issuerAt(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false });
    socket.once('error', reject).once('secureConnect', () => {
      const { issuerCertificate } = socket.getPeerCertificate(true);
      socket.destroy();
      resolve(issuerCertificate.serialNumber.toLowerCase());
    });
  });
}

test('an authority whose own issuer is revoked goes on under another one, and says so before', {
  timeout,
}, async (t) => {
  const spare = '    spare: { curve: P-256, validity: 168h }\n';
  const { home, run, done, serve, status } = await begin(t, spare);
  const server = await serve();
  const url = server.urls[0] ?? '';
  const token = async () => (await done('token', 'create', '--spiffe-id', id('web'))).stdout.trim();
  const enrol = async (out: string, ...more: string[]) => {
    const words = ['enrol', '--ca', url, '--token', await token(), '--out', join(home, out)];
    const ran = await countersign([...words, ...more]);
    assert.equal(ran.code, 0, ran.stderr);
  };
  await enrol('web', '--issuer', 'spare');
  const before = await issuerAt(url);
  const order = ['revoke', '--issuer', 'services', '--block'];
  const dry = await done(...order, '--dry-run');
  assert.match(dry.stdout, /own TLS certificate hangs on "services": it is renewed under "spare"/);
  const revoked = await done(...order);
  assert.match(revoked.stdout, /hangs on "services": it is renewed under "spare"/);

  // Whoever was issued to by the other one renews, and others are issued to by it.
  const renewed = await countersign(['renew', '--ca', url, '--identity', join(home, 'web')]);
  assert.equal(renewed.code, 0, renewed.stderr);
  await enrol('shop');
  const named = ['issue', '--spiffe-id', id('x'), '--issuer', 'services'];
  for (const more of [['--out', join(home, 'x')], ['--dry-run']]) {
    const refused = await run(...named, ...more);
    assert.equal(refused.code, 1, `${refused.stdout}${refused.stderr}`);
    const said = `${refused.stdout}${refused.stderr}`;
    assert.match(said, /"services" signs nothing: .*root prepare --intermediate services/);
  }
  const { findings } = await status();
  const details = findings.map(({ detail }: { detail: string }) => detail).join();
  assert.match(details, /root prepare --intermediate services gives it a new key/);
  while ((await issuerAt(url)) === before) await new Promise((next) => setTimeout(next, 50));
  await server.end('SIGKILL');
  const again = await serve();
  assert.notEqual(await issuerAt(again.urls[0] ?? ''), before);
  await again.end();
});

test('an authority without another one says what is to be done, and that can be done while it is down', {
  timeout,
}, async (t) => {
  const { home, run, done, serve, status } = await begin(t, '');
  const server = await serve();
  const order = ['revoke', '--issuer', 'services', '--block'];
  const way =
    /no other intermediate .* left: it (could not|cannot) start again before countersign root prepare --intermediate services/;
  assert.match((await done(...order, '--dry-run')).stdout, way);
  assert.match((await done(...order)).stdout, way);
  const { findings } = await status();
  const own = findings.find(({ about }: { about: string }) => about === 'identity');
  assert.match(own?.detail ?? '', /own TLS certificate hangs on "services", which is revoked/);
  await server.end();

  const words = ['ca', 'serve', '--config', join(home, 'ca.yaml'), '--port', '0'];
  const refused = await run(...words);
  assert.equal(refused.code, 1, refused.stderr);
  assert.equal(lastLine(refused.stderr), 'ERR_ROTATION_NO_ISSUER');
  assert.match(refused.stderr, /none is left to sign it of "services"/);
  assert.match(refused.stderr, /hint: .*root prepare --intermediate NAME/);

  await done('root', 'prepare', '--intermediate', 'services');
  await done('root', 'activate', '--intermediate', 'services');
  const again = await serve();
  const out = join(home, 'web');
  await done('issue', '--spiffe-id', id('web'), '--out', out);
  assert.match(await readFile(join(out, 'chain.pem'), 'utf8'), /BEGIN/);
  assert.deepEqual(
    (await status()).findings.filter(({ about }: { about: string }) => about === 'identity'),
    [],
  );
  await again.end();
});
