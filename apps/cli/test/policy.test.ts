import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { type Started, startCountersign, temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';

const yaml = `${authorityYaml()}profiles:
  brief: { validity: 10m, max_validity: 30m }
policy:
  rules:
    - { name: tokens, callers: [token], allow: ["spiffe://example.com/web/*"] }
    - { name: operators, callers: [operator], allow: ["*"] }
`;

let directory = '';
let state = '';
let server: Started;
const file = (name: string) => join(directory, name);

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  state = file('state');
  await writeFile(file('ca.yaml'), yaml);
  const made = await countersign(['init', '--config', file('ca.yaml'), '--data', state]);
  assert.equal(made.code, 0, made.stderr);
  server = await startCountersign(t as never, [
    ...['ca', 'serve', '--config', file('ca.yaml'), '--data', state, '--port', '0'],
  ]);
});
after(() => server.kill('SIGKILL'));

test('policy test says deny, what would pass, and the closest rule clause by clause', async () => {
  const words = ['policy', 'test', '--config', file('ca.yaml'), '--spiffe-id', id('api/orders')];
  const [denied, json, allowed, bob, atDoor] = await Promise.all([
    countersign([...words, '--caller', 'token', '--ttl', '48h']),
    countersign([...words, '--caller', 'token', '-o', 'json']),
    countersign([...words, '--profile', 'brief']),
    countersign([...words, '--caller', 'bob']),
    countersign([...words, '--caller', 'vault:approle/web']),
  ]);
  assert.equal(atDoor.code, 1, atDoor.stderr);
  assert.match(atDoor.stdout, /the caller is "vault:approle\/web"/);
  assert.equal(bob.code, 2);
  assert.match(
    bob.stderr,
    /--caller "bob" is neither "operator", "token", a SPIFFE ID nor who it is at a door/,
  );
  assert.equal(denied.code, 1, denied.stderr);
  assert.match(
    denied.stdout,
    /^deny: it would pass if, all of these\n {2}- rule "tokens" allowed "uri:/,
  );
  assert.match(denied.stdout, / {6}yes {2}callers: the caller is "token"/);
  assert.match(
    denied.stdout,
    / {6}no {3}allow: the name is "uri:spiffe:\/\/example\.com\/api\/orders"/,
  );
  assert.match(denied.stdout, / {2}- the lifetime were at most "24h"\n {4}ERR_POLICY_TTL: /);
  assert.equal(json.code, 1);
  const told = JSON.parse(json.stdout);
  assert.equal(told.decision, 'deny');
  assert.equal(told.refusals[0].closest.name, 'tokens');
  assert.equal(allowed.code, 0, allowed.stderr);
  assert.match(allowed.stdout, /^allow: intermediate "services", profile "brief", /);
});

test('policy test tells each name that is none, and judges the others', async () => {
  const names = ['--dns', 'a_b!', '--dns', 'x..y', '--ip', '300.1.1.1', '--spiffe-id', id('api/a')];
  const tried = await countersign([
    ...['policy', 'test', '--config', file('ca.yaml'), '--caller', 'token', '-o', 'json', ...names],
  ]);
  assert.equal(tried.code, 1, tried.stderr);
  const { refusals } = JSON.parse(tried.stdout);
  assert.deepEqual(
    refusals
      .map(({ code, passIf }: { code: string; passIf: string }) => [code, passIf])
      .slice(0, 3),
    [
      ['ERR_POLICY_DNS', '"a_b!" were a DNS name, or left out'],
      ['ERR_POLICY_DNS', '"x..y" were a DNS name, or left out'],
      ['ERR_POLICY_IP_FORM', '"300.1.1.1" were an IP address, or left out'],
    ],
  );
  assert.match(refusals[3].passIf, /rule "tokens" allowed/);
});

test('policy test reads the dates of a data directory, whoever serves it', async () => {
  const words = ['policy', 'test', '--data', state, '--spiffe-id', id('web/a'), '-o', 'json'];
  const [allowed, neither] = await Promise.all([
    countersign(words),
    countersign(['policy', 'test', '--spiffe-id', id('web/a')]),
  ]);
  assert.equal(allowed.code, 0, allowed.stderr);
  assert.equal(JSON.parse(allowed.stdout).certificate.issuer, 'services');
  assert.equal(neither.code, 2);
  assert.match(neither.stderr, /--config or --data is missing/);
});

test('issue --dry-run asks the running authority, and leaves nothing', async () => {
  const words = ['issue', '--data', state, '--spiffe-id', id('web/a')];
  const before = await readdir(directory);
  const [allowed, denied, both] = await Promise.all([
    countersign([...words, '--dry-run', '--dns', 'a.prod.example.com']),
    countersign([...words, '--dry-run', '--dns', 'a.elsewhere.example', '-o', 'json']),
    countersign([...words, '--dry-run', '--out', file('never')]),
  ]);
  assert.equal(allowed.code, 0, allowed.stderr);
  assert.match(
    allowed.stdout,
    /^allow: .*\n {2}uri:spiffe:\/\/example\.com\/web\/a\n {2}dns:a\.prod/,
  );
  assert.equal(denied.code, 1, denied.stderr);
  assert.deepEqual(
    JSON.parse(denied.stdout).refusals.map(({ code }: { code: string }) => code),
    ['ERR_POLICY_DNS', 'ERR_POLICY_NO_ISSUER'],
  );
  assert.equal(both.code, 2);
  assert.equal(lastLine(both.stderr), 'ERR_USAGE');
  assert.deepEqual(await readdir(directory), before);
});

test('issue takes a profile and an intermediate by name', async () => {
  const words = ['issue', '--data', state, '--spiffe-id', id('web/a'), '-o', 'json'];
  const issued = await countersign([
    ...[...words, '--profile', 'brief', '--issuer', 'services', '--out', file('brief')],
  ]);
  assert.equal(issued.code, 0, issued.stderr);
  const left = Date.parse(JSON.parse(issued.stdout).notAfter) - Date.now();
  assert.ok(left > 9 * 60_000 && left <= 10 * 60_000, `${left}`);
  const other = await countersign([...words, '--issuer', 'servces', '--out', file('other')]);
  assert.equal(other.code, 1);
  assert.match(other.stderr, /servces.* is asked for, the nearest is .*services/);
});
