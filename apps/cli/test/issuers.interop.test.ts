import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, type TestContext, test } from 'node:test';
import { noLog, noMeter, Secret, systemClock } from '@countersign/base';
import { openIssued, rootsOfFile, vaultIssuer } from '@countersign/identity';
import { createMtlsListener, describePeer } from '@countersign/mtls';
import {
  type BaoServer,
  baoMissing,
  type StepCaServer,
  startBao,
  startStepCa,
  stepCaMissing,
} from '@countersign/testkit';
import { lastLine } from './authority-files.ts';
import { bin, countersign, startCountersign, temporaryDirectory } from './countersign.ts';

const noBao = baoMissing();
const noStepCa = stepCaMissing();
const payments = 'spiffe://example.com/ns/prod/sa/payments';
let bao: BaoServer;
let stepCa: StepCaServer;
before(async () => {
  if (noBao === false) bao = await startSigningBao();
  if (noStepCa === false) stepCa = await startStepCa();
});
after(async () => {
  await bao?.stop();
  await stepCa?.stop();
});

test('exec runs a program with a certificate of OpenBao, as docs/issuers.md has it', {
  skip: noBao,
}, async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const { data } = await bao.ask('GET', 'auth/approle/role/payments/role-id');
  const secret = await bao.ask('POST', 'auth/approle/role/payments/secret-id', {});
  await writeFile(file('role-id'), (data as { role_id: string }).role_id);
  await writeFile(file('secret-id'), (secret.data as { secret_id: string }).secret_id);
  await copyFile(bao.caFile, file('vault-ca.pem'));
  const yaml = await documented('vault');
  const ours = yaml
    .replace('https://vault.internal:8200', bao.url)
    .replace('mount: pki_int ', 'mount: pki ')
    .replace('ttl: 12h', 'ttl: 20s');
  await writeFile(file('issuer.yaml'), ours);
  const run = startExec(t, ['--issuer', file('issuer.yaml'), '--identity', file('kept')]);
  const first = await run.next();
  assert.equal(first.id, payments);
  assert.match(first.issuer, /Vault root/);
  const renewed = await run.next();
  assert.notEqual(renewed.serial, first.serial);
  run.child.kill('SIGTERM');

  // What was kept is used while OpenBao is away.
  await writeFile(file('away.yaml'), ours.replace(bao.url, 'https://127.0.0.1:9'));
  const again = startExec(t, ['--issuer', file('away.yaml'), '--identity', file('kept')]);
  assert.equal((await again.next()).id, payments);
  again.child.kill('SIGTERM');

  await writeFile(file('secret-id'), 'wrong');
  const refused = await countersign(['exec', '--issuer', file('issuer.yaml'), '--', 'true']);
  assert.equal(refused.code, 1, refused.stderr);
  assert.match(refused.stderr, /log in by approle at Vault at "https:.*invalid role or secret ID/);
  assert.equal(lastLine(refused.stderr), 'ERR_ISSUER_REFUSED');
  assert.ok(!refused.stderr.includes('wrong'));
});

test('exec runs a program with a certificate of step-ca, as docs/issuers.md has it', {
  skip: noStepCa,
}, async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  await copyFile(stepCa.keyFile, file('provisioner.jwk'));
  const yaml = await documented('step_ca');
  const ours = yaml
    .replace('https://ca.internal:9000', stepCa.url)
    .replace(/fingerprint: \w+/, `fingerprint: ${stepCa.fingerprint}`);
  await writeFile(file('issuer.yaml'), ours);
  const run = startExec(t, ['--issuer', file('issuer.yaml')]);
  assert.equal((await run.next()).id, payments);
  run.child.kill('SIGTERM');
  const typed = await countersign([
    'exec',
    '--issuer',
    file('issuer.yaml'),
    '--token',
    'x',
    '--',
    'true',
  ]);
  assert.equal(lastLine(typed.stderr), 'ERR_USAGE');
});

test('the gateway serves with an identity of OpenBao', { skip: noBao }, async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  await writeFile(file('token'), bao.token);
  await copyFile(bao.caFile, file('vault-ca.pem'));
  await writeFile(
    file('gateway.yaml'),
    `
issuer:
  vault: { url: "${bao.url}", role: workloads, server_roots: vault-ca.pem, auth: { token: { file: token } } }
  spiffe_id: ${payments}
revocation: { method: lifetime, maxLifetime: 48h }
routes:
  - match: {}
    upstream: { url: "https://127.0.0.1:9", spiffeId: spiffe://example.com/ns/prod/sa/orders }
`,
  );
  const gateway = await startCountersign(t, [
    ...['gateway', '--config', file('gateway.yaml'), '--port', '0', '--admin-port', '0'],
  ]);
  const health = await fetch(`${gateway.urls[1]}/healthz`);
  assert.equal(health.status, 200, await health.text());
  const metrics = await (await fetch(`${gateway.urls[1]}/metrics`)).text();
  assert.match(metrics, new RegExp(`countersign_certificate_not_after_seconds\\{[^}]*${payments}`));
});

test('the router calls its subgraphs with an identity of OpenBao, kept for its next start', {
  skip: noBao,
}, async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  await writeFile(file('token'), bao.token);
  await copyFile(bao.caFile, file('vault-ca.pem'));
  await writeFile(file('a.graphql'), 'type Query { who: String }');
  const port = await startSubgraph(t);
  const yaml = `
mtls: { trust_domain: example.com }
issuer:
  vault: { url: "${bao.url}", role: workloads, server_roots: vault-ca.pem, auth: { token: { file: token } } }
  spiffe_id: ${payments}
revocation: { method: lifetime, maxLifetime: 48h }
subgraphs: [{ name: a, url: "https://127.0.0.1:${port}/", schema: a.graphql }]
`;
  await writeFile(file('router.yaml'), yaml);
  await writeFile(file('away.yaml'), yaml.replace(bao.url, 'https://127.0.0.1:9'));
  for (const name of ['router.yaml', 'away.yaml']) {
    const words = ['--config', file(name), '--port', '0', '--identity', file('kept')];
    const router = await startCountersign(t, ['router', ...words]);
    const response = await fetch(`${router.urls[0]}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"query":"{ who }"}',
    });
    assert.deepEqual(await response.json(), { data: { who: payments } });
    const status = await (await fetch(`${router.urls[0]}/health/mtls`)).json();
    const { spiffeId } = (status as { router: { spiffeId: string } }).router;
    assert.equal(spiffeId, payments);
  }
  await writeFile(file('plain.yaml'), yaml.replace(/issuer:[\s\S]*?revocation:.*\n/, ''));
  const stray = ['router', '--config', file('plain.yaml'), '--identity', file('kept')];
  const refused = await countersign(stray);
  assert.match(refused.stderr, /--identity goes with "issuer"/);
});

/** One that tells who asks, with a certificate of the same OpenBao. */
async function startSubgraph(t: TestContext): Promise<number> {
  const { url, token, caFile } = bao;
  const { clock, log, meter } = { clock: systemClock, log: noLog, meter: noMeter };
  const live = await openIssued({
    issuer: vaultIssuer({
      ...{ url, role: 'workloads', serverRoots: rootsOfFile(caFile), clock, log },
      auth: { method: 'token', token: async () => new Secret(token) },
    }),
    names: { spiffeId: 'spiffe://example.com/ns/default/sa/a', dns: [], ip: ['127.0.0.1'] },
    ...{ ttlMs: 3_600_000, clock, log, meter },
  });
  const peers = new WeakMap<object, string>();
  const front = createServer((request, response) => {
    request.resume();
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ data: { who: peers.get(request.socket) } }));
  });
  const listener = createMtlsListener({
    ...{ name: 'a', svids: live, bundles: live, clientAuth: 'require', clock, log, meter },
    onConnection(socket, peer) {
      peers.set(socket, String(describePeer(peer).peer));
      front.emit('connection', socket);
    },
  });
  t.after(async () => {
    await listener.close(0);
    front.close();
    await live.stop();
  });
  return (await listener.listen(0, '127.0.0.1')).port;
}

test('keep writes what OpenBao signs, without an identity of its own, as docs/issuers.md has it', {
  skip: noBao,
}, async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  await writeFile(file('vault.token'), bao.token);
  await writeFile(file('store.pass'), 'changeit');
  await copyFile(bao.caFile, file('vault-ca.pem'));
  const yaml = (await documented('keep'))
    .replace('https://vault.internal:8200', bao.url)
    .replace('mount: pki_int', 'mount: pki')
    .replace('[systemctl, reload, nginx]', `[touch, ${file('reloaded')}]`);
  await writeFile(file('keep.yaml'), yaml);
  const once = () => countersign(['keep', '--config', file('keep.yaml'), '--once', '-o', 'json']);
  const first = await once();
  assert.equal(first.code, 0, first.stderr);
  assert.equal(JSON.parse(first.stdout)[0].did, 'ordered');
  const certificate = new X509Certificate(await readFile(file('web/cert.pem')));
  assert.equal(certificate.subjectAltName, 'DNS:web.example.com');
  assert.match(certificate.issuer, /Vault root/);
  await Promise.all(['web/web.p12', 'reloaded'].map((name) => readFile(file(name))));
  const second = await once();
  assert.equal(JSON.parse(second.stdout)[0].did, 'nothing', second.stdout);

  await writeFile(file('keep.yaml'), yaml.replace('web.example.com', 'web.example.org'));
  const refused = await once();
  assert.equal(refused.code, 1);
  assert.match(refused.stdout, /ERR_ISSUER_REFUSED/);
  await writeFile(file('keep.yaml'), yaml.replace('from: vault', 'from: valt'));
  const unknown = await once();
  assert.equal(unknown.code, 2);
  assert.match(
    unknown.stderr,
    /authority \\"valt\\" is not under keep\.authorities, which has \\"vault\\"/,
  );
});

/** The YAML of `docs/issuers.md` for one issuer, or for `keep`. */
async function documented(issuer: string): Promise<string> {
  const text = await readFile(new URL('../../../docs/issuers.md', import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml = '']) => yaml);
  const head = issuer === 'keep' ? 'keep:' : `issuer:\n  ${issuer}:`;
  return blocks.find((yaml) => yaml.startsWith(head)) ?? assert.fail(issuer);
}

const witness = `
  const { readFileSync } = require('node:fs');
  const { X509Certificate } = require('node:crypto');
  const look = () => {
    const { serialNumber: serial, issuer } = new X509Certificate(readFileSync(process.env.COUNTERSIGN_CHAIN));
    console.log(JSON.stringify({ serial, issuer, id: process.env.COUNTERSIGN_SPIFFE_ID }));
  };
  process.on('SIGHUP', look);
  process.on('SIGTERM', () => process.exit(0));
  setInterval(() => {}, 1000);
  look();`;

interface Seen {
  readonly serial: string;
  readonly issuer: string;
  readonly id: string;
}

function startExec(t: TestContext, words: readonly string[]) {
  const program = ['--on-rotation', 'HUP', '--', process.execPath, '-e', witness];
  const child = spawn(process.execPath, [bin, 'exec', ...words, ...program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGTERM'));
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    child,
    async next(): Promise<Seen> {
      const { value } = await lines.next();
      return JSON.parse(value ?? assert.fail('it ended'));
    },
  };
}

async function startSigningBao(): Promise<BaoServer> {
  const started = await startBao();
  const { ask } = started;
  await ask('POST', 'sys/mounts/pki', { type: 'pki', config: { max_lease_ttl: '87600h' } });
  await ask('POST', 'pki/root/generate/internal', { common_name: 'Vault root', ttl: '87600h' });
  await ask('POST', 'pki/roles/workloads', {
    ...{ allowed_domains: ['example.com'], allow_subdomains: true, require_cn: false },
    ...{ allowed_uri_sans: ['spiffe://example.com/*'], key_type: 'ec', key_bits: 256 },
    basic_constraints_valid_for_non_ca: true,
  });
  await ask('POST', 'sys/policies/acl/sign', {
    policy: 'path "pki/sign/workloads" { capabilities = ["update"] }',
  });
  await ask('POST', 'sys/auth/approle', { type: 'approle' });
  await ask('POST', 'auth/approle/role/payments', { token_policies: 'sign', token_ttl: '1h' });
  return started;
}
