import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createSocketServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { startTestDns, type TestDns } from '@countersign/testkit';
import { countersign, type Started, startCountersign, temporaryDirectory } from './countersign.ts';

const run = promisify(execFile);

const yaml = (parts: { http: number; tls: number; resolver: string }) => `ca:
  root: { curve: P-256, validity: 720h, pathLenConstraint: 1 }
  intermediate: { services: { curve: P-256, validity: 168h } }
service_certificates:
  validity: 24h
  san_policies:
    require_spiffe: false
    spiffe_trust_domain: example.com
    allowed_dns_patterns: ['**.test']
    allow_wildcards: true
api: { names: [localhost] }
acme:
  validation:
    http_port: ${parts.http}
    tls_alpn_port: ${parts.tls}
    resolvers: ['${parts.resolver}']
    allow: [127.0.0.0/8]
`;

/** Why a client cannot be tried here, or false. */
function lacks(command: string, ...words: string[]): string | false {
  const found = spawnSync(command, words, { timeout: 30_000 }).error === undefined;
  return found ? false : `no ${command} (Debian: apt-get install ${command})`;
}

let directory = '';
let server: Started;
let dns: TestDns;
let acme = '';
const port = { http: 0, tls: 0 };
const file = (name: string) => join(directory, name);

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  dns = await startTestDns();
  [port.http, port.tls] = await freePorts();
  await writeFile(file('ca.yaml'), yaml({ ...port, resolver: dns.address }));
  const words = ['--config', file('ca.yaml'), '--data', file('state')];
  const made = await countersign(['init', ...words]);
  assert.equal(made.code, 0, made.stderr);
  server = await startCountersign(t as never, ['ca', 'serve', ...words, '--port', '0'], {
    timeoutMs: 600_000,
  });
  acme = `https://localhost:${new URL(server.urls[0] ?? '').port}/acme/directory`;
  const root = await readFile(file('state/root.pem'), 'utf8');
  await writeFile(file('root.pem'), root);
});
after(async () => {
  await server.end();
  await dns.close();
});

const env = () => ({
  PATH: process.env.PATH ?? '',
  HOME: directory,
  LEGO_CA_CERTIFICATES: file('root.pem'),
  REQUESTS_CA_BUNDLE: file('root.pem'),
  CURL_CA_BUNDLE: file('root.pem'),
});
const client = (command: string, words: readonly string[]) =>
  run(command, [...words], { env: env(), timeout: 120_000, cwd: directory });

async function expectNames(path: string, names: string): Promise<string> {
  const leaf = new X509Certificate(await readFile(path));
  assert.equal(leaf.subjectAltName, names);
  return leaf.serialNumber;
}

const lego = lacks('lego', '--version');
const asLego = (...words: string[]) => [
  ...['--server', acme, '--accept-tos', '--email', 'ops@example.test', '--path', file('lego')],
  ...words,
];
const byHttp = () => ['--http', '--http.port', `127.0.0.1:${port.http}`];

test('lego gets a certificate by http-01, another for a second name by tls-alpn-01, and revokes', {
  skip: lego,
}, async () => {
  const first = ['--domains', 'lego.example.test'];
  await client('lego', asLego(...first, ...byHttp(), 'run'));
  await expectNames(file('lego/certificates/lego.example.test.crt'), 'DNS:lego.example.test');
  const second = ['--domains', 'alpn.example.test', '--domains', 'www.alpn.example.test'];
  const byTls = ['--tls', '--tls.port', `127.0.0.1:${port.tls}`];
  await client('lego', asLego(...second, ...byTls, 'run'));
  await expectNames(
    file('lego/certificates/alpn.example.test.crt'),
    'DNS:alpn.example.test, DNS:www.alpn.example.test',
  );
  await client('lego', asLego(...first, ...byHttp(), 'revoke'));
  const show = ['audit', 'export', '--data', file('state')];
  assert.match((await countersign(show)).stdout, /"orderedBy":"acme:/);
});

test('certbot registers, gets a certificate, renews and revokes it', {
  skip: lacks('certbot', '--version'),
}, async () => {
  const own = [
    ...['--config-dir', file('certbot'), '--work-dir', file('work'), '--logs-dir', file('logs')],
    ...['--server', acme, '--non-interactive'],
  ];
  const standalone = ['--standalone', '--http-01-port', String(port.http)];
  const name = 'certbot.example.test';
  const agreed = ['--agree-tos', '--register-unsafely-without-email'];
  await client('certbot', ['certonly', ...own, ...standalone, ...agreed, '-d', name]);
  const path = file(`certbot/live/${name}/cert.pem`);
  const first = await expectNames(path, `DNS:${name}`);
  await client('certbot', ['renew', ...own, '--force-renewal', '--no-random-sleep-on-renew']);
  assert.notEqual(await expectNames(path, `DNS:${name}`), first);
  await client('certbot', ['revoke', ...own, '--cert-path', path, '--no-delete-after-revoke']);
});

test('uacme gets a certificate by a hook that serves http-01', {
  skip: lacks('uacme', '--version') || cannotMount(),
}, async () => {
  const tokens = await servedDirectory(port.http);
  const hook = file('uacme-hook.sh');
  const script = `#!/bin/sh
[ "$2" = http-01 ] || exit 1
case "$1" in begin) printf %s "$5" > "${tokens.directory}/$4" ;; esac
`;
  await writeFile(hook, script, { mode: 0o755 });
  try {
    const own = ['-c', file('uacme'), '-a', acme, '-y'];
    // It trusts the roots of the machine alone: in a name space of its own, those are ours.
    const roots = '/etc/ssl/certs/ca-certificates.crt';
    const mounted = `mount --bind "${file('root.pem')}" ${roots} && exec uacme "$@"`;
    const uacme = (...words: string[]) =>
      client('unshare', ['--mount', 'sh', '-c', mounted, 'uacme', ...own, ...words]);
    await uacme('new', 'ops@example.test');
    await uacme('-h', hook, 'issue', 'uacme.example.test');
    await expectNames(file('uacme/uacme.example.test/cert.pem'), 'DNS:uacme.example.test');
  } finally {
    await tokens.close();
  }
});

test('dehydrated gets a certificate for a wildcard by dns-01', {
  skip: lacks('dehydrated', '--version'),
}, async () => {
  const challenges = file('dns-challenges');
  await mkdir(challenges);
  const hook = file('dehydrated-hook.sh');
  const script = `#!/bin/sh
case "$1" in deploy_challenge) echo "$4" > "${challenges}/$2" ;; esac
`;
  await writeFile(hook, script, { mode: 0o755 });
  const config = file('dehydrated.conf');
  await writeFile(
    config,
    `CA="${acme}"\nBASEDIR="${file('dehydrated')}"\nCHALLENGETYPE=dns-01\nHOOK="${hook}"\n`,
  );
  await mkdir(file('dehydrated'));
  // what the hook writes is what the resolver answers
  const timer = setInterval(() => {
    readFile(join(challenges, 'dehydrated.example.test'), 'utf8').then(
      (text) => dns.texts.set('_acme-challenge.dehydrated.example.test', [text.trim()]),
      () => {},
    );
  }, 50);
  try {
    const own = ['--config', config];
    await client('dehydrated', [...own, '--register', '--accept-terms']);
    const names = ['--domain', '*.dehydrated.example.test', '--alias', 'wild'];
    await client('dehydrated', [...own, '--cron', ...names]);
    await expectNames(file('dehydrated/certs/wild/cert.pem'), 'DNS:*.dehydrated.example.test');
  } finally {
    clearInterval(timer);
  }
});

function cannotMount(): string | false {
  const tried = spawnSync('unshare', ['--mount', 'mount', '--bind', '/etc/hosts', '/etc/hosts']);
  return tried.status === 0 ? false : 'no mount name space (it needs root)';
}

async function freePorts(): Promise<[number, number]> {
  const servers = [createSocketServer(), createSocketServer()];
  for (const each of servers) {
    await new Promise<void>((resolve) => each.listen(0, '127.0.0.1', resolve));
  }
  const [http = 0, tls = 0] = servers.map((each) => (each.address() as AddressInfo).port);
  for (const each of servers) await new Promise((resolve) => each.close(resolve));
  return [http, tls];
}

/** Serves what lies in a directory below the path of http-01. */
async function servedDirectory(port: number) {
  const directory = await mkdtemp(join(tmpdir(), 'countersign-tokens-'));
  const server = createServer((request, response) => {
    const name = (request.url ?? '').split('/').at(-1) ?? '';
    if (!/^[A-Za-z0-9_-]+$/.test(name)) return void response.writeHead(404).end();
    readFile(join(directory, name)).then(
      (text) => response.end(text),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const close = () => new Promise((resolve) => server.close(resolve));
  return { directory, close };
}
