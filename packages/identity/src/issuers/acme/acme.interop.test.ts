import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Secret, systemClock } from '@countersign/base';
import {
  freePort,
  type PebbleServer,
  pebbleMissing,
  startPebble,
  startStepCa,
  startTestDns,
  stepCaMissing,
} from '@countersign/testkit';
import { certificatesFromPem, formatGeneralName } from '@countersign/x509';
import { rootsOfFile } from '../issuer-files.ts';
import { orderNamed } from '../open-issued.ts';
import { type AcmeIssuerOptions, acmeIssuer } from './acme-issuer.ts';

const skip = pebbleMissing();
let pebble: PebbleServer;
before(async () => {
  if (skip === false) pebble = await startPebble();
});
after(() => pebble?.stop());

const { signal } = new AbortController();
const keyKind = { type: 'EC', curve: 'P-256' } as const;

const issuerOf = (more: Partial<AcmeIssuerOptions> = {}) =>
  acmeIssuer({
    ...{ url: pebble.url, accountKeyFile: join(pebble.directory, 'account.pem') },
    ...{ contact: ['mailto:ops@example.com'], agreesToTerms: true, clock: systemClock },
    externalAccount: {
      kid: 'kid-1',
      hmac: async () => new Secret(Buffer.alloc(32, 7).toString('base64url')),
    },
    proof: { method: 'http-01', port: pebble.httpPort, address: '127.0.0.1' },
    serverRoots: rootsOfFile(pebble.caFile),
    ...more,
  });

const order = async (issuer = issuerOf(), names: { dns?: string[]; ip?: string[] } = {}) =>
  orderNamed({
    ...{ issuer, keyKind, clock: systemClock, signal },
    names: { dns: ['web.test', 'www.web.test'], ip: [], ...names },
    roots: async () => certificatesFromPem(await pebble.root()),
  });

test('Pebble: names are proved by http-01, though nonces go stale', { skip }, async () => {
  const issuer = issuerOf();
  const { chain, bundle } = await order(issuer);
  const names = chain[0].subjectAltNames.map(formatGeneralName).sort();
  assert.deepEqual(names, ['dns:web.test', 'dns:www.web.test']);
  assert.equal(bundle.trustDomain, 'web.test');
  const again = await order(issuer);
  assert.notEqual(again.chain[0].serialHex, chain[0].serialHex);
});

test('Pebble: names and addresses are proved by tls-alpn-01, on a port of choice', {
  skip,
}, async () => {
  const proof = { method: 'tls-alpn-01', port: pebble.tlsPort, address: '127.0.0.1' } as const;
  const { chain } = await order(issuerOf({ proof }), {
    dns: ['alpn.test', 'www.alpn.test'],
    ip: ['127.0.0.1'],
  });
  const names = chain[0].subjectAltNames.map(formatGeneralName).sort();
  assert.deepEqual(names, ['dns:alpn.test', 'dns:www.alpn.test', 'ip:127.0.0.1']);
  const taken = createServer().listen(pebble.tlsPort, '127.0.0.1');
  await once(taken, 'listening');
  await assert.rejects(order(issuerOf({ proof }), { dns: ['taken.test'] }), {
    code: 'ERR_ISSUER_CONFIG',
    message: /^listen on port \d+ for tls-alpn-01: /,
  });
  taken.close();
});

test('Pebble: a renewal names what it replaces, when the window says', { skip }, async () => {
  const issuer = issuerOf();
  const held = await order(issuer);
  const wish = await issuer.renewalWish?.(held, signal);
  const { notBefore, notAfter } = held.chain[0];
  assert.ok(wish !== undefined && wish.at > notBefore && wish.at < notAfter, JSON.stringify(wish));
  const renew = () =>
    orderNamed({
      ...{ issuer, keyKind, clock: systemClock, signal, held },
      names: { dns: ['web.test', 'www.web.test'], ip: [] },
      roots: async () => certificatesFromPem(await pebble.root()),
    });
  const first = await renew();
  // It was replaced already: Pebble refuses that, and the order is opened without saying so.
  const second = await renew();
  assert.notEqual(first.chain[0].serialHex, second.chain[0].serialHex);
});

test('Pebble: a wildcard is proved by dns-01, shown and taken away by a command', {
  skip,
}, async () => {
  const records = join(pebble.directory, 'records');
  // The command has to wait until its record can be seen: here, until the test has put it in place.
  const hook = join(pebble.directory, 'hook.mjs');
  await writeFile(
    hook,
    `import { existsSync, appendFileSync } from 'node:fs';
appendFileSync(${JSON.stringify(records)}, process.argv.slice(2).join(' ') + '\\n');
if (process.argv[2] === 'present') {
  for (let i = 0; i < 3000 && !existsSync(${JSON.stringify(records)} + '.seen'); i += 1) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}`,
  );
  const command = [process.execPath, hook];
  const issuer = issuerOf({ proof: { method: 'dns-01', command } });
  const asked = order(issuer, { dns: ['*.wild.test'] });
  for (let i = 0; i < 3000; i += 1) {
    const said = await readFile(records, 'utf8').catch(() => '');
    const found = /^present (\S+)\. (\S+)$/m.exec(said);
    if (found !== null) {
      pebble.dns.texts.set(found[1] ?? '', [found[2] ?? '']);
      await writeFile(`${records}.seen`, '');
      break;
    }
    await systemClock.sleep(10);
  }
  const { chain } = await asked;
  assert.deepEqual(chain[0].subjectAltNames.map(formatGeneralName), ['dns:*.wild.test']);
  assert.match(await readFile(records, 'utf8'), /^cleanup _acme-challenge\.wild\.test\. \S+$/m);
  const failing = issuerOf({ proof: { method: 'dns-01', command: ['false'] } });
  await assert.rejects(order(failing, { dns: ['other.test'] }), {
    code: 'ERR_ISSUER_CONFIG',
    message: /^run "false present" for "other\.test": /,
  });
});

test('Pebble: profiles are asked for by name, and what is refused is said in its words', {
  skip,
}, async () => {
  const { chain } = await order(issuerOf({ profile: 'short' }));
  assert.ok(chain[0].notAfter - chain[0].notBefore <= 86_400_000);
  await assert.rejects(order(issuerOf({ profile: 'long' })), {
    code: 'ERR_ISSUER_CONFIG',
    message: /has profiles "short", none is "long"$/,
  });
  await assert.rejects(order(issuerOf(), { dns: ['blocked.test'] }), {
    code: 'ERR_ISSUER_REFUSED',
    message: /open an order at ACME server at .*: rejectedIdentifier: /,
  });
  await assert.rejects(order(issuerOf(), { dns: ['elsewhere.example'] }), {
    code: 'ERR_ISSUER_REFUSED',
    message: /authorization of "elsewhere\.example" at .* is invalid: /,
  });
});

test('Pebble: terms that nobody agreed to, and a key that others can read, end it first', {
  skip,
}, async () => {
  const fresh = join(pebble.directory, 'fresh.pem');
  await assert.rejects(order(issuerOf({ agreesToTerms: false, accountKeyFile: fresh })), {
    code: 'ERR_ISSUER_CONFIG',
    message: /terms of service at ".*" are not agreed to/,
  });
  await order();
  const account = join(pebble.directory, 'account.pem');
  await chmod(account, 0o644);
  await assert.rejects(order(), {
    code: 'ERR_ISSUER_SECRET',
    message: /has mode 0644, expected 0600/,
  });
  await chmod(account, 0o600);
});

const noStepCa = stepCaMissing();
test("step-ca's ACME provisioner: a name and an address", { skip: noStepCa }, async (t) => {
  const dns = await startTestDns();
  t.after(() => dns.close());
  const [httpPort, tlsPort] = [await freePort(), await freePort()];
  const stepCa = await startStepCa([
    ...['--insecure', '--resolver', dns.address],
    ...['--acme-http-port', String(httpPort), '--acme-tls-port', String(tlsPort)],
  ]);
  t.after(() => stepCa.stop());
  const proofs = [
    { method: 'http-01', port: httpPort, address: '127.0.0.1' },
    { method: 'tls-alpn-01', port: tlsPort, address: '127.0.0.1' },
  ] as const;
  for (const proof of proofs) {
    const issuer = acmeIssuer({
      ...{ url: `${stepCa.url}/acme/acme/directory`, proof, clock: systemClock },
      accountKeyFile: join(stepCa.directory, `${proof.method}.pem`),
      serverRoots: rootsOfFile(stepCa.rootFile),
    });
    const { chain } = await orderNamed({
      ...{ issuer, keyKind, clock: systemClock, signal },
      names: { dns: ['localhost'], ip: ['127.0.0.1'] },
      roots: rootsOfFile(stepCa.rootFile),
    });
    const names = chain[0].subjectAltNames.map(formatGeneralName).sort();
    assert.deepEqual(names, ['dns:localhost', 'ip:127.0.0.1']);
  }
});
