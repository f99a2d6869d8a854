import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { countersign } from './countersign.ts';
import { vaultCalls } from './vault-calls.ts';
import { differenceOf, runCalls } from './vault-differences.ts';
import { startVaultServer, type VaultServerUnderTest } from './vault-world.ts';

const run = promisify(execFile);
const foreign = join(homedir(), '.cache/countersign-foreign');
const python = join(foreign, 'vault/bin/python');
const bao = join(foreign, 'vault/bin/bao');
const goClient = join(foreign, 'bin/vault-go-client');
const certManager = join(foreign, 'bin/cert-manager-vault.test');
const script = (name: string) => fileURLToPath(new URL(`foreign/${name}`, import.meta.url));

/** Why a client cannot be tried here, or false. */
function lacks(path: string): string | false {
  return existsSync(path) ? false : `no ${path} (.ci/foreign-tools makes it)`;
}

let world: VaultServerUnderTest;
before(async (t) => {
  world = await startVaultServer(t as never);
});

const client = (
  command: string,
  words: readonly string[],
  more: Readonly<Record<string, string>> = {},
) =>
  run(command, [...words], {
    env: { PATH: process.env.PATH ?? '', ...world.env, ...more },
    timeout: 120_000,
  });

test('hvac sets up a hierarchy, issues, revokes and logs in: every call', {
  skip: lacks(python),
}, async () => {
  const { stdout } = await client(python, [script('vault_hvac.py')]);
  assert.match(stdout, /^52 calls$/m);
});

test("Go's clients of OpenBao and of Vault do the same: every call", {
  skip: lacks(goClient),
}, async () => {
  const { stdout } = await client(goClient, []);
  assert.match(stdout, /^66 calls$/m);
});

test("cert-manager's own Vault issuer signs by each manifest: token, AppRole, certificate, Kubernetes", {
  skip: lacks(certManager),
}, async () => {
  const words = ['-test.run', 'TestCountersign', '-test.v'];
  const manifests = fileURLToPath(new URL('../../../deploy/kubernetes', import.meta.url));
  const { stdout } = await client(certManager, words, { MANIFESTS: manifests });
  const ways = ['token', 'approle', 'certificate', 'kubernetes'].map(
    (each) => `countersign-${each}`,
  );
  for (const way of [...ways, 'refusals']) {
    assert.match(stdout, new RegExp(`--- PASS: TestCountersign/${way} `));
  }
});

test('the command line of OpenBao does what its users do', { skip: lacks(bao) }, async () => {
  const cli = async (...words: string[]) => (await client(bao, words)).stdout;
  let done = 0;
  const step = async (says: RegExp, ...words: string[]) => {
    assert.match(await cli(...words), says, words.join(' '));
    done += 1;
  };
  await step(/Initialized\s+true/, 'status');
  await step(/Success/, 'secrets', 'enable', '-path=bao', 'pki');
  await step(/Success/, 'secrets', 'tune', '-max-lease-ttl=2000h', 'bao');
  await step(/^bao\/\s+pki/m, 'secrets', 'list');
  await step(
    /serial_number/,
    'write',
    'bao/root/generate/internal',
    'common_name=Root',
    'key_type=ec',
    'ttl=1000h',
  );
  await step(
    /issuing_certificates/,
    'write',
    'bao/config/urls',
    'issuing_certificates=http://ca.example.test/ca',
  );
  await step(
    /allow_subdomains\s+true/,
    'write',
    'bao/roles/web',
    'allowed_domains=example.test',
    'allow_subdomains=true',
    'key_type=ec',
  );
  await step(/max_ttl/, 'read', 'bao/roles/web');
  await step(/^web$/m, 'list', 'bao/roles');
  await step(
    /BEGIN EC PRIVATE KEY/,
    'write',
    'bao/issue/web',
    'common_name=a.example.test',
    'ttl=1h',
  );
  await step(
    /^-----BEGIN CERTIFICATE/,
    'write',
    '-field=certificate',
    'bao/sign/web',
    `csr=@${world.file('web.csr')}`,
    'common_name=web.example.test',
  );
  await step(/BEGIN CERTIFICATE/, 'read', '-field=certificate', 'bao/cert/ca');
  await step(/^[0-9a-f:]{59}$/m, 'list', 'bao/certs');
  await step(/client_token|token\s/, 'token', 'create', '-policy=web', '-ttl=1h');
  await step(/display_name/, 'token', 'lookup');
  await step(/^web$/m, 'policy', 'list');
  await step(/pki\/sign\/web/, 'policy', 'read', 'web');
  await step(
    /token_policies\s+\["?default"? "?web"?\]/,
    'write',
    'auth/approle/login',
    `role_id=${world.env.VAULT_ROLE_ID}`,
    `secret_id=${world.env.VAULT_SECRET_ID}`,
  );
  await step(/Request:\s+roles\/web/, 'path-help', 'bao/roles/web');
  await step(/^token\/\s+token/m, 'auth', 'list');
  await step(/Success/, 'delete', 'bao/roles/web');
  await step(/Success/, 'secrets', 'disable', 'bao');
  assert.equal(done, 22);
  await assert.rejects(client(bao, ['write', 'pki/issue/web', 'common_name=evil.invalid']), {
    stderr: /common name evil.invalid not allowed by this role/,
  });
  await assert.rejects(
    client(bao, ['list', 'pki/roles'], { VAULT_TOKEN: 'nope', BAO_TOKEN: 'nope' }),
    {
      stderr: /permission denied/,
    },
  );
});

test('the commands of docs/vault.md work as they stand there', { skip: lacks(bao) }, async (t) => {
  const [, commands = ''] = /```sh\n([\s\S]*?)```/.exec(await documentText()) ?? [];
  const fresh = await startVaultServer(t as never, 'bare');
  const script = `set -euo pipefail\nvault() { bao "$@"; }\n${commands}`;
  const { stdout } = await run('bash', ['-c', script], {
    cwd: fresh.file(''),
    env: { ...fresh.env, PATH: `${join(foreign, 'vault/bin')}:${process.env.PATH ?? ''}` },
    timeout: 120_000,
  });
  assert.match(stdout, /BEGIN CERTIFICATE/);
  // A role id and a secret id, by which somebody can log in.
  const [, roleId = '', secretId = ''] = /([0-9a-f-]{36})\s*([0-9a-f-]{36})\s*$/.exec(stdout) ?? [];
  const login = await fresh.ask(
    'POST',
    'auth/approle/login',
    { role_id: roleId, secret_id: secretId },
    { token: '' },
  );
  assert.deepEqual(login.body.auth?.policies, ['default', 'web'], JSON.stringify(login.body));
});

test('a client certificate without a SPIFFE ID logs in, and opens nothing else', async () => {
  const [cert, key] = await Promise.all([
    readFile(world.file('client.pem'), 'utf8'),
    readFile(world.file('client.key'), 'utf8'),
  ]);
  const shown = { cert, key, token: '' };
  const login = await world.ask('POST', 'auth/cert/login', { name: 'web' }, shown);
  assert.equal(login.status, 200, JSON.stringify(login.body));
  assert.deepEqual(login.body.auth.policies, ['default', 'web']);
  const refused = await world.ask('GET', 'status', undefined, shown);
  assert.notEqual(refused.status, 200);
  const none = await world.ask('POST', 'auth/cert/login', { name: 'web' }, { token: '' });
  assert.deepEqual([none.status, none.body], [400, { errors: ['no client certificate found'] }]);

  // Once it is revoked, it logs in no more.
  const serial = login.body.auth.metadata.serial_number;
  await world.ask('POST', 'pki/revoke', { serial_number: serial });
  const over = await world.ask('POST', 'auth/cert/login', { name: 'web' }, shown);
  assert.equal(over.status, 400, JSON.stringify(over.body));
});

test('a list is asked for by LIST too, in pieces, behind another request, and not at length', async () => {
  const ca = await readFile(world.rootsFile, 'utf8');
  const open = () =>
    connectTls({
      host: 'localhost',
      port: Number(new URL(world.url).port),
      servername: 'localhost',
      ca,
    });
  const answered = (pieces: readonly string[]) =>
    new Promise<string>((resolve, reject) => {
      const socket = open();
      let text = '';
      socket.setEncoding('utf8');
      socket.on('data', (part) => {
        text += part;
      });
      socket.once('error', reject);
      socket.once('close', () => resolve(text));
      socket.once('secureConnect', async () => {
        for (const piece of pieces)
          await new Promise<void>((sent) => socket.write(piece, () => sent()));
      });
    });
  const head = `host: localhost\r\nx-vault-token: ${world.token}\r\n\r\n`;
  assert.match(
    await answered([`LIST /v1/pki/roles HTTP/1.1\r\n${head}`]),
    /^HTTP\/1\.1 200 OK[\s\S]*"keys":\["web"\]/,
  );
  assert.match(await answered(['LIST /v1/pki/ro', `les HTTP/1.1\r\n${head}`]), /"keys":\["web"\]/);
  assert.match(
    await answered(['LIST /v1/pki/roles HTTP/1.1\r\nhost: x\r\n\r\n']),
    /^HTTP\/1\.1 403 Forbidden/,
  );
  assert.match(await answered(['LIST /v1/status HTTP/1.1\r\nhost: x\r\n\r\n']), /^HTTP\/1\.1 400/);
  assert.equal(await answered([`LIST /v1/pki/roles HTTP/1.1\r\nx: ${'x'.repeat(20_000)}\r\n`]), '');
});

test('who asked is in the audit trail, with what was refused and without a secret', async () => {
  const { stdout } = await countersign(['audit', 'export', '--data', world.data]);
  assert.match(stdout, /"vault:approle\/web"|vault:token\/ops/);
  for (const name of ['VAULT_TOKEN', 'VAULT_SECRET_ID', 'VAULT_K8S_JWT']) {
    const secret = world.env[name] ?? '';
    assert.ok(!stdout.includes(secret), name);
    assert.ok(!world.server.stderr().includes(secret), name);
  }
});

test('OpenBao answers the same to every call, but for what docs/vault.md lists', {
  skip: lacks(bao),
}, async (t) => {
  const port = await freePort();
  const server = spawn(
    bao,
    ['server', '-dev', '-dev-root-token-id=root', `-dev-listen-address=127.0.0.1:${port}`],
    { stdio: 'ignore', env: { PATH: process.env.PATH ?? '', HOME: world.file('') } },
  );
  t.after(() => server.kill('SIGKILL'));
  await listening(port);
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const given = {
    csr: await readFile(world.file('web.csr'), 'utf8'),
    publicKey: String(publicKey.export({ format: 'pem', type: 'spki' })),
  };
  const theirs = await runCalls(
    { url: `http://127.0.0.1:${port}`, token: 'root' },
    vaultCalls,
    given,
  );
  const ca = await readFile(world.rootsFile, 'utf8');
  const ours = await runCalls({ url: world.url, token: world.token, ca }, vaultCalls, given);
  const found = vaultCalls.flatMap(({ does }, i) => {
    const [a, b] = [theirs[i], ours[i]];
    const difference = a === undefined || b === undefined ? 'no answer' : differenceOf(a, b);
    return difference === undefined ? [] : [{ does, difference }];
  });
  const text = await documentText();
  const rows = text.slice(text.indexOf('| call |')).split('\n').slice(2).join('\n');
  const listed = [...rows.matchAll(/^\| ([a-z][^|]*?) \| ([^|]*?) \| ([^|]*?) \|$/gm)].map(
    (row) => row[1],
  );
  assert.ok(vaultCalls.length >= 60);
  const unlisted = found.filter(({ does }) => !listed.includes(does));
  assert.deepEqual(unlisted, []);
  const gone = listed.filter((does) => !found.some((each) => each.does === does));
  assert.deepEqual(gone, [], 'listed in docs/vault.md, and no difference');
});

function documentText(): Promise<string> {
  return readFile(fileURLToPath(new URL('../../../docs/vault.md', import.meta.url)), 'utf8');
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function listening(port: number): Promise<void> {
  for (let tries = 0; tries < 150; tries += 1) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true));
      socket.once('connect', () => socket.destroy());
      socket.once('error', () => resolve(false));
    });
    if (isOpen) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error('the server did not listen within 30 s');
}
