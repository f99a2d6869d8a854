import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { inspect } from 'node:util';
import { type Fields, type Log, type Meter, noLog, noMeter, systemClock } from '@countersign/base';
import { parseSvid } from '@countersign/spiffe';
import { testClock } from '@countersign/testkit';
import {
  certificatesFromPem,
  encodePem,
  encodePrivateKey,
  formatGeneralName,
} from '@countersign/x509';
import {
  CertificateAuthority,
  exportSvid,
  issueSubgraphSvid,
  MtlsProvider,
  readProviderOptions,
} from './index.ts';
import { mtlsServer } from './mtls-server.suite.ts';

const places: string[] = [];
after(async () => {
  for (const place of places) await rm(place, { recursive: true });
});

async function place(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'provider-'));
  places.push(directory);
  return directory;
}

const mtls = { enabled: true, trustDomain: 'example.org' };

test('options in camel and in snake case are the same, with the documented defaults', () => {
  assert.deepEqual(readProviderOptions({}), {
    enabled: false,
    trustDomain: 'cluster.local',
    serviceName: 'router',
    namespace: 'default',
    certTtlSecs: 3600,
    caCertPath: undefined,
    caKeyPath: undefined,
    trustBundlePath: undefined,
    allowFallback: false,
    verifyHostname: true,
  });
  const snake = readProviderOptions({
    enabled: true,
    trust_domain: 'example.org',
    service_name: 'edge',
    namespace: 'prod',
    cert_ttl_secs: 60,
    ca_cert_path: 'ca.pem',
    ca_key_path: 'ca.key',
    trust_bundle_path: 'bundle.pem',
    allow_fallback: true,
    verify_hostname: false,
  });
  const camel = readProviderOptions({
    enabled: true,
    trustDomain: 'example.org',
    serviceName: 'edge',
    namespace: 'prod',
    certTtlSecs: 60,
    caCertPath: 'ca.pem',
    caKeyPath: 'ca.key',
    trustBundlePath: 'bundle.pem',
    allowFallback: true,
    verifyHostname: false,
  });
  assert.deepEqual(snake, camel);
});

test('an option that is misspelt, out of range or half a pair is refused by name', () => {
  assert.throws(() => readProviderOptions({ trust_domian: 'a' }), /"trust_domian".*"trust_domain"/);
  assert.throws(() => readProviderOptions({ certTtlSecs: 0 }), /"certTtlSecs"/);
  assert.throws(() => readProviderOptions({ namespace: 'a/b' }), /"namespace"/);
  assert.throws(() => readProviderOptions({ caCertPath: 'a' }), /"caCertPath".*"caKeyPath"/);
  assert.throws(() => readProviderOptions({ certTtlSecs: 5, cert_ttl_secs: 5 }), /both spellings/);
});

test('a lifetime of an hour is an hour in the certificate', async () => {
  const provider = await MtlsProvider.create({ ...mtls, cert_ttl_secs: 3600 });
  const { leaf, spiffeId } = provider.svid();
  assert.equal(leaf.notAfter - leaf.notBefore, 3_600_000);
  assert.equal(spiffeId.toString(), 'spiffe://example.org/ns/default/sa/router');
  const status = provider.status();
  assert.equal(status.certSerial, leaf.serialHex);
  assert.ok(status.remainingSecs > 3500 && status.remainingSecs <= 3600);
  assert.deepEqual(
    { ...status, certSerial: '', remainingSecs: 0 },
    {
      enabled: true,
      trustDomain: 'example.org',
      spiffeId: 'spiffe://example.org/ns/default/sa/router',
      certSerial: '',
      certValid: true,
      remainingSecs: 0,
      needsRenewal: false,
    },
  );
  await provider.close();
});

test('serials are random, and one authority signs for everybody', async () => {
  const ca = await CertificateAuthority.ephemeral({ trustDomain: 'example.org' });
  const svids = await Promise.all(
    ['users', 'orders', 'users'].map((name) => issueSubgraphSvid(ca, name, 'prod', 60)),
  );
  assert.equal(new Set(svids.map((svid) => svid.serialHex)).size, 3);
  for (const { serialHex } of svids) assert.ok(serialHex.length >= 32, serialHex);
  assert.equal(svids[0]?.spiffeId.toString(), 'spiffe://example.org/ns/prod/sa/users');
  const names = svids[0]?.leaf.subjectAltNames.map(formatGeneralName) ?? [];
  assert.ok(names.includes('dns:users.prod') && names.includes('dns:localhost'), names.join());
});

test('exported files are those of a service, the key readable by its owner alone', async () => {
  const directory = await place();
  const ca = await CertificateAuthority.ephemeral({ trustDomain: 'example.org' });
  const svid = await issueSubgraphSvid(ca, 'users', 'prod', 60);
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  await exportSvid(svid, cert, key);
  await ca.exportTrustBundle(join(directory, 'bundle.pem'));
  const read = parseSvid(await readFile(cert, 'utf8'), await readFile(key, 'utf8'));
  assert.equal(read.serialHex, svid.serialHex);
  assert.equal((await stat(key)).mode & 0o777, 0o600);
  const bundle = certificatesFromPem(await readFile(join(directory, 'bundle.pem'), 'utf8'));
  assert.deepEqual(bundle[0]?.raw, ca.root.raw);
  assert.deepEqual((await readdir(directory)).sort(), ['bundle.pem', 'cert.pem', 'key.pem']);
});

test('an authority made by openssl is one of ours, and openssl verifies what it signs', async () => {
  const directory = await place();
  const at = (name: string) => join(directory, name);
  const subject = ['-subj', '/CN=local root', '-days', '30', '-nodes'];
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'rsa:2048', '-keyout', at('ca.key'), '-out', at('ca.pem')],
      ...subject,
    ],
    { stdio: 'ignore' },
  );
  const files = { caCertPath: at('ca.pem'), caKeyPath: at('ca.key') };
  const ca = await CertificateAuthority.fromFiles({ ...files, trustDomain: 'example.org' });
  await exportSvid(await issueSubgraphSvid(ca, 'users', 'prod', 60), at('c.pem'), at('k.pem'));
  execFileSync('openssl', ['verify', '-CAfile', at('ca.pem'), at('c.pem')], { stdio: 'ignore' });
});

test('a key of another certificate, or no authority at all, is refused with the files named', async () => {
  const directory = await place();
  const [a, b] = [join(directory, 'a'), join(directory, 'b')];
  const made = { caCertPath: `${a}.pem`, caKeyPath: `${a}.key` };
  const other = { caCertPath: `${b}.pem`, caKeyPath: `${b}.key` };
  assert.equal((await CertificateAuthority.openOrCreate(made)).isNew, true);
  assert.equal((await CertificateAuthority.openOrCreate(made)).isNew, false);
  assert.equal((await stat(made.caKeyPath)).mode & 0o777, 0o600);
  await CertificateAuthority.openOrCreate(other);
  const mixed = { caCertPath: made.caCertPath, caKeyPath: other.caKeyPath };
  await assert.rejects(CertificateAuthority.fromFiles(mixed), { code: 'ERR_PROVIDER_CA' });
  const half = { caCertPath: made.caCertPath, caKeyPath: join(directory, 'absent') };
  await assert.rejects(CertificateAuthority.openOrCreate(half), { code: 'ERR_PROVIDER_CA' });
  const { ca } = await CertificateAuthority.openOrCreate(made);
  const leaf = await issueSubgraphSvid(ca, 'x', 'y', 60);
  await writeFile(`${b}.pem`, encodePem('CERTIFICATE', leaf.leaf.raw));
  await assert.rejects(CertificateAuthority.fromFiles(other), /not one of an authority/);
});

test('nothing prints a private key', async () => {
  const provider = await MtlsProvider.create(mtls);
  const key = encodePrivateKey(provider.svid().privateKey).split('\n')[1] ?? '';
  for (const text of [
    inspect(provider, { depth: 9 }),
    inspect(provider.ca, { depth: 9 }),
    JSON.stringify(provider),
    JSON.stringify(provider.ca),
  ]) {
    assert.ok(!text.includes(key));
  }
  await provider.close();
});

test('rotation reaches the clients; a request in flight ends on the certificate that it began with', async () => {
  const provider = await MtlsProvider.create({ ...mtls, certTtlSecs: 600 });
  const svid = await issueSubgraphSvid(provider.ca, 'users', 'default', 600);
  const server = await mtlsServer(svid, provider.ca, { holdMs: 300 });
  const client = provider.buildClient({ spiffeIds: [svid.spiffeId.toString()] });
  const stop = provider.startRotation();
  try {
    const serialOf = async (path: string) => {
      const response = await client(`${server.url}${path}`);
      return ((await response.json()) as { serial: string }).serial;
    };
    const first = provider.svid().serialHex;
    assert.equal(await serialOf('/'), first);
    const inFlight = serialOf('/slow');
    while (server.serials.length < 2) await systemClock.sleep(5);
    await provider.renewNow();
    const second = provider.svid().serialHex;
    assert.notEqual(second, first);
    assert.equal(await serialOf('/'), second);
    assert.equal(await inFlight, first);
  } finally {
    await stop();
    await provider.close();
    await server.close();
  }
});

test('a machine that slept past the end of a certificate has a new one within 30 seconds', async () => {
  const clock = testClock();
  const provider = await MtlsProvider.create({ ...mtls, certTtlSecs: 3600 }, { clock });
  const { serialHex } = provider.svid();
  provider.startRotation();
  clock.step(7_200_000);
  assert.equal(provider.status().certValid, false);
  const renewed = changeOf(provider);
  await clock.advance(30_000);
  await renewed;
  assert.notEqual(provider.svid().serialHex, serialHex);
  assert.equal(provider.status().remainingSecs, 3600);
  await provider.close();
});

test('an expired certificate is renewed before the next connection', async () => {
  const provider = await MtlsProvider.create({ ...mtls, certTtlSecs: 1 });
  const svid = await issueSubgraphSvid(provider.ca, 'users', 'default', 600);
  const server = await mtlsServer(svid, provider.ca);
  const client = provider.buildClient();
  try {
    const { serialHex, notAfter } = provider.svid();
    while (systemClock.now() <= notAfter + 1000) await systemClock.sleep(50);
    assert.equal(provider.status().certValid, false);
    assert.equal(provider.status().needsRenewal, true);
    assert.equal((await client(server.url)).status, 200);
    assert.notEqual(provider.svid().serialHex, serialHex);
  } finally {
    await provider.close();
    await server.close();
  }
});

test('who answers is checked: the trust domain, the SPIFFE ID, and the host name where asked', async () => {
  const provider = await MtlsProvider.create(mtls);
  const { ca } = provider;
  const svid = await issueSubgraphSvid(ca, 'users', 'default', 600);
  const unnamed = (
    await ca.issue({ serviceName: 'users', namespace: 'default', ttlSecs: 60, dns: [], ip: [] })
  ).svid;
  const foreign = await CertificateAuthority.ephemeral({ trustDomain: 'other.org' });
  const servers = await Promise.all([
    mtlsServer(svid, ca),
    mtlsServer(unnamed, ca),
    mtlsServer(await issueSubgraphSvid(foreign, 'users', 'default', 600), ca),
  ]);
  const [named, withoutName, other] = servers;
  try {
    const orders = provider.buildClient({
      spiffeIds: ['spiffe://example.org/ns/default/sa/orders'],
    });
    await assert.rejects(orders(named.url), { code: 'ERR_PEER_UNEXPECTED' });
    const users = provider.buildClient({ spiffeIds: [svid.spiffeId.toString()] });
    assert.equal((await users(named.url)).status, 200);
    assert.equal((await users(`https://127.0.0.1:${named.port}`)).status, 200);
    await assert.rejects(users(withoutName.url), { code: 'ERR_PEER_UNEXPECTED' });
    const lenient = provider.buildClient({ verifyHostname: false });
    assert.equal((await lenient(withoutName.url)).status, 200);
    await assert.rejects(lenient(other.url), { code: 'ERR_PEER_TRUST_DOMAIN' });
  } finally {
    await provider.close();
    for (const server of servers) await server.close();
  }
});

test('the bundle replaces the system roots: what a public authority would vouch for is refused', async () => {
  const provider = await MtlsProvider.create(mtls);
  const stranger = await CertificateAuthority.ephemeral({ trustDomain: 'example.org' });
  const { svid } = await stranger.issue({
    serviceName: 'users',
    namespace: 'default',
    ttlSecs: 60,
  });
  const server = createTlsServer({
    key: encodePrivateKey(svid.privateKey),
    cert: svid.chain.map(({ raw }) => encodePem('CERTIFICATE', raw)).join(''),
  });
  server.listen(0, 'localhost');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  try {
    await assert.rejects(provider.buildClient()(`https://localhost:${port}`), {
      code: 'ERR_PEER_UNTRUSTED',
    });
  } finally {
    await provider.close();
    server.close();
  }
});

test('an anchor that is added to the bundle file is trusted without a restart', async () => {
  const trustBundlePath = join(await place(), 'bundle.pem');
  const provider = await MtlsProvider.create({ ...mtls, trustBundlePath });
  const written = await readFile(trustBundlePath, 'utf8');
  assert.deepEqual(certificatesFromPem(written)[0]?.raw, provider.ca.root.raw);
  const second = await CertificateAuthority.ephemeral({ trustDomain: 'example.org' });
  const server = await mtlsServer(await issueSubgraphSvid(second, 'u', 'd', 60), provider.ca);
  const client = provider.buildClient();
  try {
    await assert.rejects(client(server.url), { code: 'ERR_PEER_UNTRUSTED' });
    const changed = new Promise<void>((resolve) => provider.onChange(resolve));
    await writeFile(trustBundlePath, written + encodePem('CERTIFICATE', second.root.raw));
    await changed;
    assert.equal((await client(server.url)).status, 200);
  } finally {
    await provider.close();
    await server.close();
  }
});

test('plaintext is never a silent answer to a failure: only with fallback, logged and counted', async () => {
  const plain = createServer((_request, response) => response.end('plain'));
  plain.listen(0, 'localhost');
  await once(plain, 'listening');
  const { port } = plain.address() as { port: number };
  const warnings: string[] = [];
  const log: Log = { ...noLog, warn: (_fields: Fields, message) => void warnings.push(message) };
  const counted: string[] = [];
  const meter: Meter = {
    ...noMeter,
    counter: ({ name }) => ({ add: () => void counted.push(name) }),
  };
  const strict = await MtlsProvider.create(mtls, { log, meter });
  const lax = await MtlsProvider.create({ ...mtls, allow_fallback: true }, { log, meter });
  try {
    await assert.rejects(strict.buildClient()(`https://localhost:${port}`), /ERR_|connect|TLS/);
    await assert.rejects(strict.buildClient()(`http://localhost:${port}`), {
      code: 'ERR_PROVIDER_PLAINTEXT',
    });
    assert.deepEqual(warnings, []);
    const response = await lax.buildClient()(`https://localhost:${port}`);
    assert.equal(await response.text(), 'plain');
    assert.ok(warnings.some((each) => /plaintext/.test(each)));
    assert.ok(counted.includes('countersign_plaintext_fallbacks_total'));
    assert.throws(() => lax.buildClient({ isProduction: true }), { code: 'ERR_PROVIDER_FALLBACK' });
  } finally {
    await Promise.all([strict.close(), lax.close()]);
    plain.close();
  }
});

function changeOf(provider: MtlsProvider): Promise<void> {
  return new Promise((resolve) => {
    const unsubscribe = provider.onChange(() => {
      unsubscribe();
      resolve();
    });
  });
}
