import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { authorityYaml, id } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

/** Serves what its files hold, and reads them again when it is told to, unless it is deaf. */
const consumer = `
  const { readFileSync } = require('node:fs');
  const [path, deaf] = process.argv.slice(1);
  const read = () => ({ cert: readFileSync(path), key: readFileSync(path) });
  const server = require('node:tls').createServer(read(), (socket) => socket.end());
  process.on('SIGHUP', () => deaf || server.setSecureContext(read()));
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));`;

interface Row {
  readonly name: string;
  readonly did: string;
  readonly reason?: string;
  readonly serial?: string;
  readonly probe?: string;
  readonly command?: string;
  readonly code?: string;
  readonly message?: string;
}

describe('countersign keep', () => {
  let directory: string;
  let file: (name: string) => string;
  let authority: Awaited<ReturnType<typeof startCountersign>>;
  const ends: (() => void)[] = [];
  const whole = { after: (end: () => void) => ends.push(end) } as unknown as TestContext;

  before(async () => {
    directory = await temporaryDirectory(whole);
    file = (name: string) => join(directory, name);
    const state = ['--data', file('state')];
    await writeFile(
      file('ca.yaml'),
      `${authorityYaml()}api: { registrars: ["${id('keeper')}"] }\n`,
    );
    await run('init', '--config', file('ca.yaml'), ...state);
    authority = await startCountersign(whole, [
      ...['ca', 'serve', '--config', file('ca.yaml'), ...state, '--port', '0'],
    ]);
    const token = await run('token', 'create', ...state, '--spiffe-id', id('keeper'));
    await run('enrol', '--ca', authority.urls[0]!, '--token', token, '--out', file('keeper'));
  });
  after(() => {
    for (const end of ends.reverse()) end();
  });

  async function run(...words: string[]): Promise<string> {
    const ran = await countersign(words);
    assert.equal(ran.code, 0, ran.stderr);
    return ran.stdout.trim();
  }

  async function config(name: string, text: string): Promise<string> {
    await writeFile(file(name), text);
    return file(name);
  }

  async function once_(path: string, code = 0): Promise<Row[]> {
    const words = ['keep', '--config', path, '--once', '-o', 'json', '--log-level', 'silent'];
    const ran = await countersign(words);
    assert.equal(ran.code, code, ran.stdout + ran.stderr);
    return JSON.parse(ran.stdout) as Row[];
  }

  test('writes our entries and those of cert-manager, and has nothing to do the second time', async (t) => {
    await writeFile(file('store.pass'), 'changeit\n');
    await mkdir(file('stores'), { recursive: true });
    await writeFile(file('stores/password'), 'changeit');
    const path = await config(
      'keep.yaml',
      `keep: { identity: keeper, folders: kept, issuers: { our-ca: {} } }
certificates:
  - name: web
    spiffe_id: ${id('ns/prod/sa/web')}
    dns: [web.prod.example.com]
    key: { type: p384 }
    usages: [server auth]
    files:
      - { path: ../combined.pem, format: combined, mode: "0640" }
      - { path: web.p12, format: pkcs12, password_file: store.pass, alias: web }
      - { path: trust.jks, format: jks-trust, password_file: store.pass }
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: { name: db, namespace: prod }
spec:
  secretName: db-tls
  duration: 6h
  renewBefore: 2h
  commonName: db.prod.example.com
  uris: ["${id('ns/prod/sa/db')}"]
  privateKey: { algorithm: RSA, size: 2048, rotationPolicy: Always }
  usages: [digital signature, server auth, client auth]
  issuerRef: { name: our-ca, kind: ClusterIssuer }
  additionalOutputFormats: [{ type: CombinedPEM }]
  keystores: { pkcs12: { create: true, passwordSecretRef: { name: ../stores, key: password } } }
`.replaceAll('../combined.pem', file('combined.pem')),
    );
    const first = await once_(path);
    assert.deepEqual(
      first.map(({ name, did }) => [name, did]),
      [
        ['web', 'ordered'],
        ['prod/db', 'ordered'],
      ],
    );
    const kept = (name: string) => file(join('kept', name));
    for (const [key, chain, kind] of [
      ['web/key.pem', 'web/chain.pem', 'ec'],
      ['db-tls/tls.key', 'db-tls/tls.crt', 'rsa'],
    ] as const) {
      const certificate = new X509Certificate(await readFile(kept(chain)));
      const privateKey = createPrivateKey(await readFile(kept(key)));
      assert.ok(certificate.checkPrivateKey(privateKey));
      assert.equal(privateKey.asymmetricKeyType, kind);
      assert.equal((await stat(kept(key))).mode & 0o777, 0o600);
    }
    assert.match(await readFile(kept('db-tls/tls.key'), 'latin1'), /BEGIN RSA PRIVATE KEY/);
    assert.match(
      await readFile(kept('db-tls/tls-combined.pem'), 'latin1'),
      /KEY[\s\S]*CERTIFICATE/,
    );
    const names = new X509Certificate(await readFile(kept('db-tls/tls.crt'))).subjectAltName;
    assert.match(names ?? '', /DNS:db\.prod\.example\.com/);
    assert.match(names ?? '', /URI:spiffe/);
    assert.equal((await stat(file('combined.pem'))).mode & 0o777, 0o640);
    const openssl = ['pkcs12', '-in', kept('web/web.p12'), '-nokeys', '-passin', 'pass:changeit'];
    const read = spawnSync('openssl', openssl, { encoding: 'utf8' });
    if (read.error === undefined) assert.match(read.stdout, /friendlyName: web/);

    const second = await once_(path);
    assert.deepEqual(
      second.map(({ did, serial }) => [did, serial]),
      first.map(({ serial }) => ['nothing', serial]),
    );
    await writeFile(file('combined.pem'), 'somebody was here');
    const [web] = await once_(path);
    assert.equal(web?.did, 'written');
    assert.equal(web?.serial, first[0]?.serial);
    assert.match(web?.reason ?? '', /combined\.pem" is not as it was written/);
    assert.match(await readFile(file('combined.pem'), 'latin1'), /PRIVATE KEY/);
    const example = fileURLToPath(new URL('../../../examples/keep/keep.yaml', import.meta.url));
    assert.match(await run('check', path, example), /keep/);
    t.diagnostic(`${first.length} entries`);
  });

  test('proves that the consumer serves the new serial, and says so when it does not', async (t) => {
    const entry = (name: string, port: number, command: string) => `
  - name: ${name}
    spiffe_id: ${id(`ns/prod/sa/${name}`)}
    key: { type: p256 }
    files: [{ path: ${file(`${name}.pem`)}, format: combined }]
    command: ${command}
    probe: { connect: "127.0.0.1:${port}", within: 2s }`;
    const unproved = (name: string) => entry(name, 1, '["true"]').replace(/\n {4}probe.*/, '');
    const before = await config(
      'before.yaml',
      `keep: { identity: keeper, folders: proved }
certificates:${unproved('live')}${unproved('deaf')}
`,
    );
    await once_(before);
    const [live, deaf] = [
      await startConsumer(t, file('live.pem')),
      await startConsumer(t, file('deaf.pem'), 'deaf'),
    ];
    const deafEntry = entry('deaf', deaf.port, `["kill", "-HUP", "${deaf.child.pid}"]`);
    const path = await config(
      'proved.yaml',
      `keep: { identity: keeper, folders: proved }
certificates:${entry('live', live.port, `"kill -HUP ${live.child.pid}"`)}${deafEntry}
`.replaceAll('type: p256', 'type: p384'),
    );
    const reports = await once_(path, 1);
    assert.deepEqual(
      reports.map(({ did, probe, code }) => [did, probe, code]),
      [
        ['ordered', 'proved', undefined],
        ['ordered', undefined, 'ERR_KEEP_UNPROVED'],
      ],
    );
    assert.match(
      reports[1]?.message ?? '',
      /it serves serial [0-9a-f]+, expected serial [0-9a-f]+/,
    );
    // It was told again, and is still deaf; the other one is left alone.
    const again = await once_(path, 1);
    assert.deepEqual(
      again.map(({ did, command, code }) => [did, command, code]),
      [
        ['nothing', undefined, undefined],
        ['nothing', 'done', 'ERR_KEEP_UNPROVED'],
      ],
    );
  });

  test('runs on, renews in time, and has a failing entry take nothing from the others', async (t) => {
    const path = await config(
      'running.yaml',
      `keep: { identity: keeper, folders: running }
certificates:
  - name: short
    spiffe_id: ${id('ns/prod/sa/short')}
    ttl: 8s
    files: [{ path: ${file('short.pem')}, format: combined }]
  - { name: foreign, spiffe_id: "spiffe://other.org/x" }
`,
    );
    const keeping = await startCountersign(t, ['keep', '--config', path, '--admin-port', '0']);
    assert.match(keeping.urls[0] ?? '', /^file:\/\/.*running\.yaml$/);
    const serial = async () => {
      const text = await readFile(file('running/short/chain.pem'), 'latin1');
      return new X509Certificate(text).serialNumber;
    };
    const first = await serial();
    for (let tries = 0; (await serial()) === first; tries += 1) {
      assert.ok(tries < 300, keeping.stderr());
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    // SIGHUP: another entry, which is the keeper's own, and keeps its key.
    const more = '  - { name: mine, own: true, key: { rotate: false } }\n';
    await writeFile(path, (await readFile(path, 'utf8')) + more);
    keeping.kill('SIGHUP');
    const mine = async () =>
      new X509Certificate(await readFile(file('running/mine/cert.pem'), 'latin1'));
    for (let tries = 0; (await mine().catch(() => undefined)) === undefined; tries += 1) {
      assert.ok(tries < 300, keeping.stderr());
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.match((await mine()).subjectAltName ?? '', new RegExp(id('keeper')));
    const metrics = await (await fetch(`${keeping.urls[1]}/metrics`)).text();
    assert.match(metrics, /countersign_kept_certificate_failed\{certificate="foreign"\} 1/);
    assert.match(metrics, /countersign_kept_certificate_failed\{certificate="short"\} 0/);
    assert.equal((await fetch(`${keeping.urls[1]}/healthz`)).status, 503);
    assert.equal((await keeping.end()).code, 0);
  });

  test('orders nothing that could not be written', async () => {
    const entry = (name: string, output: string) =>
      `  - { name: ${name}, spiffe_id: "${id(name)}", files: [${output}] }\n`;
    const entries = [
      entry('owner', '{ path: a.pem, format: combined, owner: no-such-user }'),
      entry('place', '{ path: no/such/place.pem, format: cert }'),
      entry('password', '{ path: a.jks, format: jks, password_file: no-such-file }'),
    ];
    const head = 'keep: { identity: keeper, folders: unwritable }\ncertificates:\n';
    const path = await config('unwritable.yaml', head + entries.join(''));
    const reports = await once_(path, 2);
    assert.deepEqual(
      reports.map(({ code }) => code),
      ['ERR_KEEP_OWNER', 'ERR_KEEP_FILES', 'ERR_KEEP_PASSWORD'],
    );
    await assert.rejects(stat(file('unwritable')), { code: 'ENOENT' });
  });

  test('is told where its file is wrong, and what is not done', async () => {
    const wrongs = {
      'two write the same': `certificates:
  - { name: a, own: true, files: [{ path: /x/y, format: key }] }
  - { name: b, own: true, files: [{ path: /x/y, format: key }] }`,
      'no password': `certificates: [{name: a, own: true, files: [{path: a.p12, format: pkcs12}]}]`,
      'a mode that is a number': `certificates: [{name: a, own: true, files: [{path: a, format: key, mode: 0640}]}]`,
      'names nobody': `certificates: [{name: a}]`,
      'an issuer that is not named': certManager('issuerRef: { name: nobody }'),
      'what cert-manager does': certManager('issuerRef: { name: x }, secretTemplate: {}'),
    };
    for (const [what, text] of Object.entries(wrongs)) {
      const path = await config('wrong.yaml', text);
      const ran = await countersign([
        'keep',
        '--config',
        path,
        '--identity',
        file('keeper'),
        '--once',
      ]);
      assert.equal(ran.code, 2, `${what}: ${ran.stdout}`);
      assert.match(ran.stderr, /wrong\.yaml/, what);
    }
  });
});

function certManager(more: string): string {
  return `{ apiVersion: cert-manager.io/v1, kind: Certificate, metadata: { name: x },
  spec: { secretName: x, dnsNames: [x.prod.example.com], ${more} } }`;
}

async function startConsumer(
  t: TestContext,
  ...words: readonly string[]
): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(process.execPath, ['-e', consumer, '--', ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [port] = await once(child.stdout!, 'data');
  return { child, port: Number(port) };
}
