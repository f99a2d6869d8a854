import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { certificatesFromPem, formatGeneralName } from '@countersign/x509';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

const run = promisify(execFile);
const step = join(homedir(), '.cache/countersign-foreign/bin/step');
const skip = existsSync(step)
  ? false
  : 'no step (go install github.com/smallstep/cli/cmd/step, by .ci/foreign-tools)';

const yaml = (at: string) => `ca:
  root: { curve: P-256, validity: 720h }
  intermediate: { services: { curve: P-256, validity: 168h } }
service_certificates:
  validity: 1h
  max_validity: 24h
  san_policies:
    require_spiffe: false
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ['**.example.test']
provisioners:
  - name: operators
    type: jwk
    jwks_file: ${at}/operators.jwks
    audiences: ['CA/1.0/sign']
  - name: machines
    type: x5c
    roots_file: ${at}/partner.pem
    audiences: ['CA/1.0/sign']
  - name: people
    type: jwk
    jwks_file: ${at}/people.jwks
    encrypted_key_file: ${at}/people.jwe
    audiences: ['CA/1.0/sign']
step: {}
`;

describe('the step command, as it comes', { skip, timeout: 300_000 }, () => {
  const ended: (() => unknown)[] = [];
  const t = { after: (work: () => unknown) => ended.push(work) } as unknown as TestContext;
  let directory = '';
  let url = '';
  let fingerprint = '';
  let state: string[] = [];
  const file = (name: string) => join(directory, name);
  const ask = (...words: string[]) =>
    run(step, words, {
      cwd: directory,
      env: { ...process.env, STEPPATH: file('.step') },
      timeout: 60_000,
    });
  const at = () => ['--ca-url', url, '--root', file('root.pem')];
  const leaf = async (name: string) => certificatesFromPem(await readFile(file(name)))[0];
  const namesIn = async (name: string) =>
    (await leaf(name))?.subjectAltNames.map(formatGeneralName);

  before(async () => {
    directory = await temporaryDirectory(t);
    state = ['--data', file('state')];
    await ask(
      'crypto',
      'jwk',
      'create',
      'operators.pub',
      'operators.key',
      '--no-password',
      '--insecure',
    );
    await writeFile(file('password'), 'correct horse battery staple');
    const sealed = ['--password-file', 'password'];
    await ask('crypto', 'jwk', 'create', 'people.pub', 'people.jwe', ...sealed);
    const theirs = await readFile(file('people.pub'), 'utf8');
    await writeFile(file('people.jwks'), `{"keys":[${theirs}]}`);
    // Another authority, whose certificates are taken.
    const plain = ['--no-password', '--insecure'];
    const root = ['--profile', 'root-ca', ...plain];
    await ask('certificate', 'create', 'Partner', 'partner.pem', 'partner.key', ...root);
    const by = ['--ca', 'partner.pem', '--ca-key', 'partner.key', ...plain];
    const sans = ['--san', 'x.example.test', '--san', 'y.example.test'];
    await ask('certificate', 'create', 'x', 'm.crt', 'm.key', ...sans, ...by);
    const open = await readFile(file('operators.pub'), 'utf8');
    await writeFile(file('operators.jwks'), `{"keys":[${open}]}`);
    // The address is in the tokens: it has to be known before the authority is.
    await writeFile(file('ca.yaml'), yaml(directory));
    const made = await countersign(['init', '--config', file('ca.yaml'), ...state]);
    assert.equal(made.code, 0, made.stderr);
    fingerprint = made.stdout.trim();
    await writeFile(file('root.pem'), await readFile(file('state/root.pem')));
    const serve = ['ca', 'serve', '--config', file('ca.yaml'), ...state, '--port'];
    const first = await startCountersign(t, [...serve, '0'], { timeoutMs: 60_000 });
    [url = ''] = first.urls;
    await first.end();
    await writeFile(file('ca.yaml'), yaml(directory).replaceAll('CA/', `${url}/`));
    await startCountersign(t, [...serve, new URL(url).port], { timeoutMs: 600_000 });
  });
  after(async () => {
    for (const work of ended.toReversed()) await work();
  });

  it('trusts the authority by its fingerprint, and reads what it has', async () => {
    await ask('ca', 'bootstrap', '--ca-url', url, '--fingerprint', fingerprint);
    assert.match((await ask('ca', 'health', ...at())).stdout, /ok/);
    await ask('ca', 'root', 'again.pem', '--ca-url', url, '--fingerprint', fingerprint);
    assert.deepEqual(await readFile(file('again.pem')), await readFile(file('root.pem')));
    await ask('ca', 'roots', 'roots.pem', ...at());
    const listed = await ask('ca', 'provisioner', 'list', ...at());
    const names = JSON.parse(listed.stdout).map((each: { type: string; name: string }) => each);
    assert.deepEqual(
      names.map(({ type, name }: { type: string; name: string }) => [type, name]),
      [
        ['JWK', 'operators'],
        ['X5C', 'machines'],
        ['JWK', 'people'],
      ],
    );
    assert.ok(!listed.stdout.includes('"d"'));
  });

  it('gets a certificate with a token of its own, and with one that was made elsewhere', async () => {
    const by = ['--provisioner', 'operators', '--key', 'operators.key'];
    const first = (await ask('ca', 'token', 'a.example.test', ...by, ...at())).stdout.trim();
    const files = ['a.crt', 'a.key'];
    await ask('ca', 'certificate', 'a.example.test', ...files, '--token', first, ...at());
    assert.deepEqual(await namesIn('a.crt'), ['dns:a.example.test']);
    const chain = certificatesFromPem(await readFile(file('a.crt')));
    assert.equal(chain.length, 2);
    const verified = await countersign(['verify', '--bundle', file('root.pem'), file('a.crt')]);
    assert.equal(verified.code, 0, verified.stderr);

    const sans = ['--san', 'b.example.test', '--san', 'spiffe://example.com/b'];
    const token = await ask('ca', 'token', 'b', ...sans, ...by, ...at(), '--not-after', '5m');
    const with30 = ['--token', token.stdout.trim(), '--not-after', '30m'];
    await ask('ca', 'certificate', 'b', 'b.crt', 'b.key', ...with30, ...at());
    assert.deepEqual(await namesIn('b.crt'), ['uri:spiffe://example.com/b', 'dns:b.example.test']);
    const { notAfter = 0, notBefore = 0 } = (await leaf('b.crt')) ?? {};
    assert.ok(notAfter - notBefore <= 35 * 60_000);
    const again = ask('ca', 'certificate', 'b', 'c.crt', 'c.key', ...with30, ...at());
    await assert.rejects(again, /ERR_PROVISIONER_USED/);
    const bad = (await ask('ca', 'token', 'evil.invalid', ...by, ...at())).stdout.trim();
    const evil = ask(
      'ca',
      'certificate',
      'evil.invalid',
      'e.crt',
      'e.key',
      '--token',
      bad,
      ...at(),
    );
    await assert.rejects(evil, /evil\.invalid/);
  });

  it('renews for the same key, rekeys for another, and gets one by its certificate', async () => {
    const before = await leaf('a.crt');
    await ask('ca', 'renew', 'a.crt', 'a.key', '--force', ...at());
    const renewed = await leaf('a.crt');
    assert.notEqual(renewed?.serialHex, before?.serialHex);
    assert.deepEqual(renewed?.spki.raw, before?.spki.raw);
    assert.deepEqual(await namesIn('a.crt'), ['dns:a.example.test']);
    await ask('ca', 'rekey', 'a.crt', 'a.key', '--force', ...at());
    const rekeyed = await leaf('a.crt');
    assert.notDeepEqual(rekeyed?.spki.raw, before?.spki.raw);
    const by = ['--provisioner', 'machines', '--x5c-cert', 'm.crt', '--x5c-key', 'm.key'];
    await ask('ca', 'certificate', 'x.example.test', 'x.crt', 'x.key', ...by, ...at());
    assert.deepEqual(await namesIn('x.crt'), ['dns:x.example.test']);
    const beyond = ask('ca', 'certificate', 'z.example.test', 'z.crt', 'z.key', ...by, ...at());
    await assert.rejects(beyond, /z\.example\.test.*its certificate has/);
    const own = ['--provisioner', 'machines', '--x5c-cert', 'a.crt', '--x5c-key', 'a.key'];
    const again = ask(
      'ca',
      'certificate',
      'a.example.test',
      'x.crt',
      'x.key',
      ...own,
      ...at(),
      '--force',
    );
    await assert.rejects(again, /ERR_PROVISIONER_TOKEN/);
  });

  it('opens the key of a provisioner with its password, and enrols with what it signs', async () => {
    const by = ['--provisioner', 'people', '--provisioner-password-file', 'password'];
    const made = await ask('ca', 'token', 'p.example.test', ...by, ...at());
    const token = made.stdout.trim();
    const pinned = ['--ca', url, '--fingerprint', fingerprint, '--out', file('p')];
    const none = await countersign(['enrol', ...pinned, '--token', token]);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /no SPIFFE ID, an identity needs one/);
    await ask('ca', 'certificate', 'p.example.test', 'p.crt', 'p.key', '--token', token, ...at());
    const sans = ['--san', 'spiffe://example.com/p', '--san', 'p.example.test'];
    const good = await ask('ca', 'token', 'p', ...sans, ...by, ...at());
    const enrolled = await countersign(['enrol', ...pinned, '--token', good.stdout.trim()]);
    assert.equal(enrolled.code, 0, enrolled.stderr);
  });

  it('revokes by the certificate itself, and by a token for its serial number', async () => {
    await ask('ca', 'revoke', '--cert', 'a.crt', '--key', 'a.key', ...at());
    await assert.rejects(ask('ca', 'renew', 'a.crt', 'a.key', '--force', ...at()), /REVOKED/);
    const serial = BigInt(`0x${(await leaf('b.crt'))?.serialHex}`).toString();
    const by = ['--provisioner', 'operators', '--key', 'operators.key'];
    const token = await ask('ca', 'token', serial, '--revoke', ...by, ...at());
    const revoke = ['ca', 'revoke', serial, '--token', token.stdout.trim(), ...at()];
    assert.match((await ask(...revoke)).stderr, /has been revoked/);
    await assert.rejects(ask('ca', 'renew', 'b.crt', 'b.key', '--force', ...at()), /REVOKED/);
    const audit = await countersign(['audit', 'export', ...state]);
    assert.match(audit.stdout, /jwk:operators\//);
    assert.match(audit.stdout, /jwk token of .{1,4}operators/);
  });
});
