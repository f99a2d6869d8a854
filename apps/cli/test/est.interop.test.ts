import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { countersign, type Started, startCountersign, temporaryDirectory } from './countersign.ts';

const yaml = (at: string) => `ca:
  root: { curve: P-256, validity: 720h, pathLenConstraint: 1 }
  intermediate: { services: { curve: P-256, validity: 168h } }
service_certificates:
  validity: 24h
  san_policies:
    require_spiffe: false
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ['**.example.test']
api: { names: [localhost] }
est:
  users: [{ name: line-3, password_file: ${at} }]
  labels: { lines: { intermediate: services, lifetime: 2h } }
  server_keygen: true
`;

function lacks(command: string, ...words: string[]): string | false {
  const found = spawnSync(command, words, { timeout: 30_000 }).error === undefined;
  return found ? false : `no ${command} (Debian: apt-get install ${command})`;
}

let directory = '';
let server: Started;
let host = '';
let password = '';
const file = (name: string) => join(directory, name);
const est = () => `https://${host}/.well-known/est`;

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  const made = await countersign(['est', 'password', '--out', file('line-3.scrypt')]);
  password = made.stdout.trim();
  await writeFile(file('line-3.password'), made.stdout);
  await writeFile(file('ca.yaml'), yaml(file('line-3.scrypt')));
  const words = ['--config', file('ca.yaml'), '--data', file('state')];
  assert.equal((await countersign(['init', ...words])).code, 0);
  server = await startCountersign(t as never, ['ca', 'serve', ...words, '--port', '0'], {
    timeoutMs: 600_000,
  });
  host = `localhost:${new URL(server.urls[0] ?? '').port}`;
  await writeFile(file('root.pem'), await readFile(file('state/root.pem')));
});
after(() => server.end());

/** The server is of this process's children: it answers while the command runs. */
function run(command: string, words: readonly string[], input = ''): SpawnSyncReturns<string> {
  return spawnSync(command, [...words], {
    cwd: directory,
    env: { PATH: process.env.PATH ?? '', HOME: directory, EST: est() },
    encoding: 'utf8',
    timeout: 120_000,
    input,
  });
}

function must(command: string, words: readonly string[], input = ''): string {
  const ran = run(command, words, input);
  assert.equal(ran.status, 0, `${command} ${words.join(' ')}\n${ran.stderr}`);
  return ran.stdout;
}

function makeRequest(name: string, host: string): void {
  const subject = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const files = ['-keyout', `${name}.key`, '-out', `${name}.csr`];
  must('openssl', ['req', '-new', ...key, ...files, ...subject]);
}

const audit = async () => (await countersign(['audit', 'export', '--data', file('state')])).stdout;

test('the commands of docs/est.md enrol with curl and OpenSSL, and renew', {
  skip: lacks('curl', '--version') || lacks('openssl', 'version'),
}, async () => {
  const text = await readFile(new URL('../../../docs/est.md', import.meta.url), 'utf8');
  const [, commands = ''] = /```sh\n([\s\S]*?)```/.exec(text) ?? [];
  must('bash', ['-euo', 'pipefail', '-c', commands]);
  const [first, renewed] = [
    new X509Certificate(await readFile(file('web.pem'))),
    new X509Certificate(await readFile(file('renewed.pem'))),
  ];
  assert.equal(first.subjectAltName, 'DNS:web.example.test');
  assert.equal(renewed.subjectAltName, first.subjectAltName);
  assert.notEqual(renewed.serialNumber, first.serialNumber);
  const authorities = await readFile(file('authorities.pem'), 'utf8');
  assert.equal(authorities.match(/BEGIN CERTIFICATE/g)?.length, 2);
  assert.match(await audit(), /est user \\*"line-3/);
});

test('curl is refused by the right status, with and without a body in chunks', {
  skip: lacks('curl', '--version') || lacks('openssl', 'version'),
}, async () => {
  makeRequest('evil', 'evil.invalid');
  const of = (operation: string, ...words: string[]) =>
    must('curl', [
      ...['-s', '-o', '/dev/null', '-w', '%{http_code}', '--cacert', 'root.pem'],
      ...[...words, `${est()}/${operation}`],
    ]);
  const body = ['-H', 'content-type: application/pkcs10', '--data-binary', '@evil.csr'];
  const user = ['-u', `line-3:${password}`];
  assert.equal(of('simpleenroll', ...body), '401');
  assert.equal(of('simpleenroll', ...body, '-u', 'line-3:wrong'), '401');
  assert.equal(of('simpleenroll', ...body, ...user), '403');
  assert.equal(of('simpleenroll', ...body, ...user, '-H', 'transfer-encoding: chunked'), '403');
  assert.equal(of('simplereenroll', ...body, ...user), '401');
  assert.equal(of('nowhere/simpleenroll', ...body, ...user), '404');
  assert.equal(of('simpleenroll', '--data-binary', '@evil.csr', ...user), '415');
  assert.equal(of('fullcmc', ...body, ...user), '501');
  assert.equal(of('csrattrs'), '204');
  const trail = await audit();
  assert.match(trail, /ERR_EST_CREDENTIALS/);
  assert.match(trail, /evil\.invalid/);
  assert.ok(!trail.includes(password));
});

test("strongSwan's pki fetches the authorities, enrols by password and renews by certificate", {
  skip: lacks('pki', '--help') || lacks('openssl', 'version'),
}, async () => {
  makeRequest('swan', 'swan.example.test');
  const at = ['--url', `https://${host}`, '--cacert', 'root.pem'];
  must('pki', ['--estca', ...at, '--caout', 'swan-ca', '--outform', 'pem', '--force']);
  const authorities = readdirSync(directory).filter((each) => each.startsWith('swan-ca'));
  assert.equal(authorities.length, 2);
  const base = ['--est', ...at, ...authorities.flatMap((each) => ['--cacert', each])];
  const enrol = ['--in', 'swan.csr', '--outform', 'pem'];
  const pem = must('pki', [...base, ...enrol, '--userpass', `line-3:${password}`]);
  const first = new X509Certificate(pem);
  assert.equal(first.subjectAltName, 'DNS:swan.example.test');
  await writeFile(file('swan.pem'), pem);
  const again = must('pki', [...base, ...enrol, '--cert', 'swan.pem', '--key', 'swan.key']);
  assert.notEqual(new X509Certificate(again).serialNumber, first.serialNumber);
  const wrong = run('pki', [...base, ...enrol, '--userpass', 'line-3:wrong']);
  assert.notEqual(wrong.status, 0);
});

const goClient = join(homedir(), '.cache/countersign-foreign/bin/est-go-client');

test("GlobalSign's Go client does every operation, and is refused by the right status", {
  skip: existsSync(goClient) ? false : 'no est-go-client (.ci/foreign-tools builds it)',
}, () => {
  for (const label of ['', 'lines']) {
    const given = { host, label, user: 'line-3', password, roots: file('root.pem') };
    assert.deepEqual(JSON.parse(must(goClient, [], JSON.stringify(given))), {
      authorities: 2,
      csrattrs: 200,
      chain: 3,
      renewed: true,
      'changed name': 403,
      'no certificate': 401,
      made: true,
      evil: 403,
      stranger: 401,
      label: 404,
    });
  }
});
