import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { startTestDns } from '@countersign/testkit';
import { temporaryDirectory } from './countersign.ts';

const run = promisify(execFile);
const script = join(import.meta.dirname, '..', '..', '..', 'examples', 'doors', 'run.sh');
const names = [
  ...['ACME_DIR', 'ACME_CA', 'ROOTS', 'EAB_KID', 'EAB_HMAC'],
  ...['EST', 'EST_CA', 'EST_ROOTS', 'EST_USER', 'EST_PASS'],
  ...['VAULT_ADDR', 'VAULT_TOKEN', 'VAULT_CACERT', 'VAULT_SIGN_PATH', 'VAULT_ROLE_ID'],
  ...['VAULT_SECRET_ID', 'VAULT_CLIENT_CERT', 'VAULT_CLIENT_KEY', 'VAULT_CERT_ROLE'],
  ...['VAULT_K8S_ROLE', 'VAULT_K8S_JWT', 'OCSP_URL', 'CRL_URL'],
];

/** Why a client cannot be tried here, or false. */
function lacks(command: string, ...words: string[]): string | false {
  const found = spawnSync(command, words, { timeout: 30_000 }).error === undefined;
  return found ? false : `no ${command} (Debian: apt-get install ${command})`;
}

const skip = lacks('curl', '--version') || lacks('openssl', 'version');
let directory = '';
let child: ChildProcess;
let exited: Promise<unknown[]>;
let said = '';
let url = '';
const printed: Record<string, string> = {};
const file = (name: string) => join(directory, 'own', name);
const value = (name: string) => printed[name] ?? assert.fail(`no ${name}`);

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  await run('mkdir', [join(directory, 'own'), join(directory, 'theirs')]);
  // A process group of its own, so that it shows whether a child stays behind.
  child = spawn('bash', [script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: join(directory, 'theirs') },
    detached: true,
  });
  exited = once(child, 'exit');
  child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  const lines = createInterface({ input: child.stdout ?? assert.fail() });
  for await (const line of lines) {
    if (line.startsWith('ready ')) {
      url = line.slice(6);
      break;
    }
    const [, name = '', found = ''] = /^([A-Z0-9_]+)=([\w.:/-]+)$/.exec(line) ?? assert.fail(line);
    printed[name] = found;
  }
  assert.match(url, /^https:\/\/127\.0\.0\.1:\d+$/, said);
});
after(() => {
  if (child.exitCode === null) child.kill('SIGTERM');
});

async function must(command: string, words: readonly string[]): Promise<string> {
  const { stdout } = await run(command, [...words], {
    cwd: join(directory, 'own'),
    timeout: 120_000,
    env: { PATH: process.env.PATH ?? '', HOME: file(''), LEGO_CA_CERTIFICATES: value('ACME_CA') },
  });
  return stdout;
}

/** A request for a host's name, as `<host>.csr` and `<host>.key`. */
async function makeRequest(host: string): Promise<string> {
  const subject = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const files = ['-keyout', `${host}.key`, '-out', `${host}.csr`];
  await must('openssl', ['req', '-new', ...key, ...files, ...subject]);
  return readFileSync(file(`${host}.csr`), 'utf8');
}

test('examples/doors prints every name once, as a shell reads it, before it is ready', () => {
  assert.deepEqual(Object.keys(printed).sort(), [...names].sort(), said);
});

test('lego gets certificates of any name, bound to the external account and not bound', {
  skip: lacks('lego', '--version'),
}, async (t) => {
  const dns = await startTestDns(8053).catch(() => undefined);
  if (dns === undefined) return t.skip('port 8053 is taken');
  try {
    const own = (path: string) => [
      ...['--server', value('ACME_DIR'), '--accept-tos', '--email', 'ops@example.test'],
      ...['--path', file(path)],
    ];
    const bound = ['--eab', '--kid', value('EAB_KID'), '--hmac', value('EAB_HMAC')];
    const byHttp = ['--http', '--http.port', '127.0.0.1:5002', '--domains', 'any.name.test'];
    await must('lego', [...own('bound'), ...bound, ...byHttp, 'run']);
    const byTls = ['--tls', '--tls.port', '127.0.0.1:5001', '--domains', 'other.test'];
    await must('lego', [...own('free'), ...byTls, 'run']);
    for (const [path, name] of [
      ['bound/certificates/any.name.test', 'any.name.test'],
      ['free/certificates/other.test', 'other.test'],
    ]) {
      const leaf = new X509Certificate(readFileSync(file(`${path}.crt`)));
      assert.equal(leaf.subjectAltName, `DNS:${name}`);
      const chain = ['-CAfile', value('ROOTS'), '-untrusted', `${path}.crt`, `${path}.crt`];
      await must('openssl', ['verify', '-x509_strict', ...chain]);
    }
  } finally {
    await dns.close();
  }
});

test('EST enrols a subdomain of example.test by password, and refuses evil.invalid', {
  skip,
}, async () => {
  const enrol = async (host: string) => {
    await makeRequest(host);
    const body = ['-H', 'content-type: application/pkcs10', '--data-binary', `@${host}.csr`];
    const user = ['-u', `${value('EST_USER')}:${value('EST_PASS')}`, '--cacert', value('EST_CA')];
    const out = ['-s', '-o', `${host}.p7`, '-w', '%{http_code}'];
    const at = `https://${value('EST')}/.well-known/est/simpleenroll`;
    return await must('curl', [...out, ...user, ...body, at]);
  };
  assert.equal(await enrol('est.example.test'), '200', said);
  const decode = 'base64 -di est.example.test.p7 | openssl pkcs7 -inform DER -print_certs';
  const pem = await must('bash', ['-c', `${decode} -out est.pem && cat est.pem`]);
  assert.equal(new X509Certificate(pem).subjectAltName, 'DNS:est.example.test');
  assert.equal(await enrol('evil.invalid'), '403');
});

const vault = async (path: string, body: object, ...words: string[]) => {
  const data = ['-H', 'content-type: application/json', '--data', JSON.stringify(body)];
  const asked = ['-s', '--cacert', value('VAULT_CACERT'), ...data, ...words];
  return JSON.parse(await must('curl', [...asked, `${value('VAULT_ADDR')}/v1/${path}`]));
};

test('Vault signs for the token and for each login, and refuses evil.invalid', {
  skip,
}, async () => {
  const shown = ['--cert', value('VAULT_CLIENT_CERT'), '--key', value('VAULT_CLIENT_KEY')];
  const logins = {
    approle: [{ role_id: value('VAULT_ROLE_ID'), secret_id: value('VAULT_SECRET_ID') }],
    cert: [{ name: value('VAULT_CERT_ROLE') }, ...shown],
    kubernetes: [{ role: value('VAULT_K8S_ROLE'), jwt: value('VAULT_K8S_JWT') }],
  } as const;
  const tokens = [value('VAULT_TOKEN')];
  for (const [method, [body, ...words]] of Object.entries(logins)) {
    const answer = await vault(`auth/${method}/login`, body, ...words);
    tokens.push(answer.auth?.client_token ?? assert.fail(JSON.stringify(answer)));
  }
  const [csr, evil] = [await makeRequest('web.example.test'), await makeRequest('evil.invalid')];
  for (const token of tokens) {
    const by = ['-H', `x-vault-token: ${token}`];
    const path = value('VAULT_SIGN_PATH');
    const signed = await vault(path, { csr, common_name: 'web.example.test' }, ...by);
    const leaf = new X509Certificate(signed.data?.certificate ?? assert.fail(signed.errors));
    assert.equal(leaf.subjectAltName, 'DNS:web.example.test');
    writeFileSync(file('web.pem'), String(leaf));
    writeFileSync(file('issuer.pem'), signed.data.issuing_ca);
    const refused = await vault(path, { csr: evil, common_name: 'evil.invalid' }, ...by);
    assert.match(String(refused.errors), /evil\.invalid not allowed by this role/);
  }
  // Nor where no role stands between: ca.yaml binds every door.
  const by = ['-H', `x-vault-token: ${value('VAULT_TOKEN')}`];
  const refused = await vault('pki/sign-verbatim', { csr: evil }, ...by);
  assert.match(String(refused.errors), /evil\.invalid/);
});

test('OpenSSL finds what was signed good by OCSP, and on no list', { skip }, async () => {
  const of = ['-issuer', 'issuer.pem', '-cert', 'web.pem', '-CAfile', value('ROOTS')];
  const answer = await must('openssl', ['ocsp', ...of, '-url', value('OCSP_URL')]);
  assert.match(answer, /^web\.pem: good$/m);
  await must('curl', ['-sSf', '-o', 'list.crl', value('CRL_URL')]);
  const lists = ['-crl_check', '-CRLfile', 'list.crl', '-untrusted', 'issuer.pem'];
  await must('openssl', ['verify', '-CAfile', value('ROOTS'), ...lists, 'web.pem']);
  const point = new RegExp(`URI:${value('CRL_URL')}$`, 'm');
  assert.match(await must('openssl', ['x509', '-in', 'web.pem', '-noout', '-text']), point);
});

test('SIGTERM ends it with its children, and nothing of it is left', async () => {
  child.kill('SIGTERM');
  const [code] = await exited;
  assert.equal(code, 0, said);
  assert.throws(() => process.kill(-(child.pid ?? assert.fail()), 0), { code: 'ESRCH' });
  assert.deepEqual(readdirSync(join(directory, 'theirs')), []);
  await assert.rejects(fetch(url), 'the server has ended with the script');
});
