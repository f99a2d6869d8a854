import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { noLog, systemClock } from '@countersign/base';
import { openSqliteLedger } from '@countersign/ca';
import { certificatesFromPem } from '@countersign/x509';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { type Started, startCountersign, temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';

let directory = '';
let state = '';
let root = '';
let server: Started;
const file = (name: string) => join(directory, name);

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  state = file('state');
  await writeFile(file('ca.yaml'), authorityYaml());
  const made = await countersign(['init', '--config', file('ca.yaml'), '--data', state]);
  assert.equal(made.code, 0, made.stderr);
  root = made.stdout;
  server = await startCountersign(t as never, [
    ...['ca', 'serve', '--config', file('ca.yaml'), '--data', state],
    ...['--port', '0', '--admin-port', '0'],
  ]);
});
after(() => server.kill('SIGKILL'));

const url = () => server.urls[0]!;
const newToken = async (name: string) => {
  const made = await countersign(['token', 'create', '--data', state, '--spiffe-id', id(name)]);
  assert.equal(made.code, 0, made.stderr);
  return made.stdout;
};

test('init prints the fingerprint of the root alone, names its key file, and keeps keys to the owner', async () => {
  assert.match(root, /^[0-9a-f]{64}\n$/);
  for (const name of ['unseal.key', 'root.key.json', 'intermediates/services.key.json']) {
    assert.equal((await stat(join(state, name))).mode & 0o777, 0o600, name);
  }
});

test('init, token create, backup and restore tell the same as JSON; root show needs no key', async () => {
  const data = file('as-json');
  const made = await countersign([
    ...['init', '--config', file('ca.yaml'), '--data', data, '-o', 'json'],
  ]);
  assert.equal(made.code, 0, made.stderr);
  const { rootFingerprint, keyFile } = JSON.parse(made.stdout);
  assert.match(rootFingerprint, /^[0-9a-f]{64}$/);
  assert.equal(keyFile, join(data, 'unseal.key'));
  const words = ['token', 'create', '--data', data, '--spiffe-id', id('a'), '-o', 'json'];
  const { token, id: name, expiresAt } = JSON.parse((await countersign(words)).stdout);
  assert.ok(String(token).includes(name) && Date.parse(expiresAt) > systemClock.now());
  const backup = await countersign([
    ...['backup', '--data', data, '--out', file('as-json-copy'), '-o', 'json'],
  ]);
  // What opens the keys is not needed to say how they stand.
  await rm(join(data, 'unseal.key'));
  const shown = await countersign(['root', 'show', '--data', data, '-o', 'json']);
  assert.equal(shown.code, 0, shown.stderr);
  assert.deepEqual(JSON.parse(shown.stdout).anchors, [rootFingerprint]);
  const { records, audit } = JSON.parse(backup.stdout);
  const restored = await countersign([
    ...['restore', '--from', file('as-json-copy'), '--data', file('as-json-2'), '-o', 'json'],
  ]);
  assert.equal(restored.code, 0, restored.stderr);
  const told = JSON.parse(restored.stdout);
  assert.deepEqual([told.records, told.auditRows], [records, audit.seq]);
});

test('init overwrites nothing, and a ca.yaml that cannot be used leaves nothing behind', async () => {
  const before = await readdir(state);
  await writeFile(file('bad.yaml'), authorityYaml().replace('validity:', 'validty:'));
  const [again, bad] = await Promise.all([
    countersign(['init', '--config', file('ca.yaml'), '--data', state]),
    countersign(['init', '--config', file('bad.yaml'), '--data', file('other')]),
  ]);
  assert.equal(again.code, 2);
  assert.equal(lastLine(again.stderr), 'ERR_STATE_EXISTS');
  assert.deepEqual((await readdir(state)).toSorted(), before.toSorted());
  assert.equal(bad.code, 2);
  assert.match(bad.stderr, /bad\.yaml:\d+:\d+: unknown key "validty".*"validity"/);
  assert.equal(again.stdout + bad.stdout, '');
  assert.equal(existsSync(file('other')), false);
});

test('a token enrols once: files for the key and chain, which verify accepts', async () => {
  const token = await newToken('payments');
  assert.match(token, /^cst1\.\S+\n$/);
  await writeFile(file('token.txt'), token);
  const out = file('payments');
  const words = ['enrol', '--ca', url(), '--fingerprint', root.trim(), '--token'];
  const enrolled = await countersign([...words, `@${file('token.txt')}`, '--out', out]);
  assert.equal(enrolled.code, 0, enrolled.stderr);
  assert.match(enrolled.stdout, /^spiffe:\/\/example\.com\/payments until /);
  assert.equal((await stat(join(out, 'key.pem'))).mode & 0o777, 0o600);
  const chain = certificatesFromPem(await readFile(join(out, 'chain.pem')));
  assert.equal(chain.length, 2);
  const [verified, spent] = await Promise.all([
    countersign([
      ...['verify', '--bundle', join(out, 'bundle.pem'), '--name', id('payments')],
      join(out, 'chain.pem'),
    ]),
    countersign([...words, '-', '--out', file('twice')], { input: token }),
  ]);
  assert.equal(verified.code, 0, verified.stderr);
  assert.equal(spent.code, 1);
  assert.equal(lastLine(spent.stderr), 'ERR_TOKEN_SPENT');
  assert.equal(existsSync(join(file('twice'), 'key.pem')), false);
});

test('a token is not sent to an authority under another root, nor one that nobody answers for', async () => {
  const token = (await newToken('orders')).trim();
  const words = ['--token', token, '--out', file('orders')];
  const [pinned, dead] = await Promise.all([
    countersign(['enrol', '--ca', url(), '--fingerprint', '0'.repeat(64), ...words]),
    countersign(['enrol', '--ca', 'https://127.0.0.1:1', ...words]),
  ]);
  assert.ok(pinned.code === 1 || pinned.code === 2);
  assert.equal(lastLine(pinned.stderr), 'ERR_IDENTITY_PIN');
  assert.equal(dead.code, 3);
  assert.ok(!pinned.stderr.includes(token.split('.')[2]!), 'the secret is in an error');
  const works = await countersign(['enrol', '--ca', url(), ...words]);
  assert.equal(works.code, 0, works.stderr);
});

test('issue goes through the running server, and renew replaces key and certificate', async () => {
  const out = file('reports');
  const words = ['issue', '--data', state, '--spiffe-id', id('reports'), '--out'];
  const [issued, tooLong] = await Promise.all([
    countersign([...words, out, '--dns', 'reports.prod.example.com', '--ttl', '2h', '-o', 'json']),
    countersign([...words, file('none'), '--ttl', '25h']),
  ]);
  assert.equal(issued.code, 0, issued.stderr);
  const facts = JSON.parse(issued.stdout);
  assert.equal(facts.spiffeId, id('reports'));
  assert.equal(tooLong.code, 1);
  assert.equal(lastLine(tooLong.stderr), 'ERR_POLICY_TTL');
  assert.match(tooLong.stderr, /25h.*24h/);
  const key = await readFile(join(out, 'key.pem'), 'utf8');
  const renewed = await countersign(['renew', '--ca', url(), '--identity', out, '-o', 'json']);
  assert.equal(renewed.code, 0, renewed.stderr);
  assert.notEqual(JSON.parse(renewed.stdout).serial, facts.serial);
  assert.notEqual(await readFile(join(out, 'key.pem'), 'utf8'), key);
});

test('issue writes over an identity of the same SPIFFE ID, over another only where it is told to', async () => {
  const out = file('replaced');
  const issue = (name: string, ...more: string[]) =>
    countersign(['issue', '--data', state, '--spiffe-id', id(name), '--out', out, ...more]);
  assert.equal((await issue('reports')).code, 0);
  assert.equal((await issue('reports')).code, 0);
  const refused = await issue('billing');
  assert.equal(refused.code, 2);
  assert.equal(lastLine(refused.stderr), 'ERR_DESTINATION');
  assert.match(refused.stderr, /it holds "\S+reports", to be written is "\S+billing"\n.*--replace/);
  assert.equal((await issue('billing', '--replace')).code, 0);
});

test('revoke says what it covers before it does, and the revoked identity is refused from then on', async () => {
  const out = file('leaked');
  const issue = ['issue', '--data', state, '--spiffe-id', id('leaked'), '--out', out];
  assert.equal((await countersign(issue)).code, 0);
  const words = ['revoke', '--data', state, '--spiffe-id', id('leaked')];
  const dry = await countersign([...words, '--dry-run', '-o', 'json']);
  assert.equal(dry.code, 0, dry.stderr);
  const preview = JSON.parse(dry.stdout);
  assert.deepEqual([preview.dryRun, preview.matched], [true, 1]);
  assert.equal((await countersign(['renew', '--ca', url(), '--identity', out])).code, 0);
  const revoked = await countersign([...words, '--reason', 'keyCompromise']);
  assert.equal(revoked.code, 0, revoked.stderr);
  assert.match(revoked.stdout, /^revoked spiffe-id .*leaked \(keyCompromise\): 2 unexpired/);
  const renewed = await countersign(['renew', '--ca', url(), '--identity', out]);
  assert.equal(renewed.code, 1);
  assert.match(lastLine(renewed.stderr), /REVOKED/);
});

test('revoke warns of a name that nobody has, names the nearest, and says that a repeat changes nothing', async () => {
  const out = file('shipping');
  const issue = ['issue', '--data', state, '--spiffe-id', id('shipping'), '--out', out];
  assert.equal((await countersign(issue)).code, 0);
  const words = ['revoke', '--data', state];
  const misspelt = await countersign([...words, '--spiffe-id', id('shiping')]);
  assert.equal(misspelt.code, 0, misspelt.stderr);
  assert.match(
    misspelt.stdout,
    /\nwarning: nothing was ever issued under .*\/shiping; did you mean .*\/shipping\?\n/,
  );
  const serial = certificatesFromPem(await readFile(join(out, 'cert.pem')))[0]!.serialHex;
  const once = await countersign([...words, '--serial', serial]);
  assert.doesNotMatch(once.stdout, /already|warning/);
  const twice = await countersign([...words, '--serial', serial]);
  assert.equal(twice.code, 0, twice.stderr);
  assert.match(twice.stdout, /^serial .*: already revoked at 20.*Z, position \d+: nothing to do/);
});

test('revoke refuses what it cannot know: no target, two targets, a stranger to the ledger, somebody else', async () => {
  const out = file('payments-2');
  const issue = ['issue', '--data', state, '--spiffe-id', id('payments'), '--out', out];
  assert.equal((await countersign(issue)).code, 0);
  const cases: readonly (readonly [string[], number, string])[] = [
    [['--data', state], 2, 'ERR_USAGE'],
    [['--data', state, '--serial', '01', '--spiffe-id', id('a')], 2, 'ERR_USAGE'],
    [['--data', state, '--serial', 'xyz'], 2, 'ERR_USAGE'],
    [['--data', state, '--key', 'abc'], 2, 'ERR_USAGE'],
    [['--spiffe-id', id('a')], 2, 'ERR_USAGE'],
    [['--data', state, '--spiffe-id', 'bogus'], 2, 'ERR_USAGE'],
    [['--data', file('nowhere'), '--spiffe-id', 'bogus'], 2, 'ERR_USAGE'],
    [['--data', state, '--serial', '01ab'], 1, 'ERR_LEDGER_CERTIFICATE_UNKNOWN'],
    [['--ca', url(), '--identity', out, '--spiffe-id', id('orders')], 1, 'ERR_REVOKE_FORBIDDEN'],
  ];
  const ran = await Promise.all(cases.map(([words]) => countersign(['revoke', ...words])));
  assert.deepEqual(
    ran.map(({ code, stderr }) => [code, lastLine(stderr)]),
    cases.map(([, code, last]) => [code, last]),
  );
});

test('names without a SPIFFE ID are issued where the policy has it so, and no token is made for them', async () => {
  const config = file('names.yaml');
  await writeFile(config, authorityYaml().replace('require_spiffe: true', 'require_spiffe: false'));
  const [data, out] = [file('names'), file('named')];
  const issue = (to: string, ...names: string[]) =>
    countersign(['issue', '--data', data, ...names, '--out', to, '-o', 'json']);
  assert.equal((await countersign(['init', '--config', config, '--data', data])).code, 0);

  const issued = await issue(out, '--dns', 'a.prod.example.com');
  assert.equal(issued.code, 0, issued.stderr);
  assert.equal(JSON.parse(issued.stdout).spiffeId, undefined);
  const verified = await countersign([
    ...['verify', '--bundle', join(out, 'bundle.pem'), '--name', 'dns:a.prod.example.com'],
    ...['--purpose', 'server', join(out, 'chain.pem')],
  ]);
  assert.equal(verified.code, 0, verified.stderr);
  assert.equal((await stat(join(out, 'key.pem'))).mode & 0o777, 0o600);

  const refused = await issue(file('refused'), '--dns', 'elsewhere.example.org');
  assert.equal(refused.code, 1);
  assert.equal(existsSync(file('refused')), false);
  const nameless = await issue(file('refused'));
  assert.equal(JSON.parse(nameless.stderr).error.code, 'ERR_POLICY_NAME_MISSING');
  const token = ['token', 'create', '--data', data, '--dns', 'a.prod.example.com'];
  const none = await countersign(token);
  assert.deepEqual([none.code, none.stdout], [1, '']);
  assert.equal(lastLine(none.stderr), 'ERR_POLICY_SPIFFE_REQUIRED');
});

test('the authority says ready alone on standard output, counts, reloads its policy, and drains', async () => {
  const [, admin] = server.urls;
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  assert.ok(/^countersign_issuance_total\{result="issued"\} \d+$/m.test(metrics));
  assert.ok(/^countersign_handshakes_total\{.*result="ok"/m.test(metrics));
  for (const name of [
    'countersign_issuance_seconds',
    'countersign_active_connections',
    'countersign_cut_connections_total',
    'countersign_revocations_total',
    'countersign_renewals_total',
    'countersign_leases',
  ]) {
    assert.ok(metrics.includes(`# TYPE ${name} `), `no ${name}`);
  }
  for (const certificate of ['root', 'services', 'authority']) {
    const ends = `countersign_certificate_not_after_seconds{certificate="${certificate}"} 1`;
    assert.ok(metrics.includes(ends), `no ${ends}`);
  }
  assert.equal((await fetch(`${admin}/healthz`)).status, 200);
  const issue = (ttl: string) =>
    countersign([
      ...['issue', '--data', state, '--spiffe-id', id('short')],
      ...['--ttl', ttl, '--out', file('short')],
    ]);
  // A policy that can be used is in force after SIGHUP; one that cannot changes nothing.
  await writeFile(
    file('ca.yaml'),
    authorityYaml().replace('max_validity: 24h', 'max_validity: 2h'),
  );
  await reloaded('reloaded', 1);
  assert.equal((await issue('3h')).code, 1);
  await writeFile(file('ca.yaml'), 'ca: {');
  await reloaded('reload failed', 1);
  assert.equal((await issue('90m')).code, 0);
  const ended = await server.end();
  assert.equal(ended.code, 0);
  assert.equal(ended.stdout, `ready ${server.urls.join(' ')}\n`);
  for (const line of ended.stderr.trimEnd().split('\n')) JSON.parse(line);
});

test('without a server, whoever holds the state works on it directly', async () => {
  const out = file('offline');
  const issue = ['issue', '--data', state, '--spiffe-id', id('offline'), '--out', out];
  const issued = await countersign(issue);
  assert.equal(issued.code, 0, issued.stderr);
  const serial = certificatesFromPem(await readFile(join(out, 'cert.pem')))[0]!.serialHex;
  const revoked = await countersign(['revoke', '--data', state, '--serial', serial.toUpperCase()]);
  assert.equal(revoked.code, 0, revoked.stderr);
  assert.match(revoked.stdout, /the authority is not serving: gateways learn of it when it does/);

  const ledger = await openSqliteLedger({
    file: join(state, 'ledger.db'),
    clock: systemClock,
    log: noLog,
  });
  const maxSilenceMs = 120_000;
  await ledger.holdLease({ instance: 'edge-1', spiffeId: id('edge'), maxSilenceMs, position: 0 });
  await ledger.close();
  const started = Date.now();
  const words = ['revoke', '--data', state, '--spiffe-id', id('offline'), '--wait', '50s'];
  const told = await countersign(words);
  assert.equal(told.code, 3, told.stderr);
  assert.ok(Date.now() - started < 40_000, 'it waited in vain');
  assert.match(
    told.stdout,
    /not acknowledged by .*edge \(edge-1\).*fails closed by itself at 20.*Z\n.*the authority is not serving/,
  );
  assert.match(told.stdout, /on 0 gateways, acknowledged by 0 of 1 within [\d.]+ ms\n/);
  const json = JSON.parse((await countersign([...words, '-o', 'json'])).stdout);
  assert.deepEqual([json.serving, json.acknowledgedBy], [false, 0]);

  const missing = await countersign(['token', 'create', '--data', file('nowhere')]);
  assert.equal(missing.code, 2);
  assert.equal(lastLine(missing.stderr), 'ERR_STATE_MISSING');
});

async function reloaded(message: string, times: number): Promise<void> {
  server.kill('SIGHUP');
  for (let waited = 0; waited < 5000; waited += 20) {
    if (server.stderr().split(`"msg":"${message}`).length > times) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`no "${message}" within 5 s:\n${server.stderr()}`);
}
