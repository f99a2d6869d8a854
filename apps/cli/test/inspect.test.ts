import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatBundleDocument } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import {
  buildCertificateRequest,
  buildName,
  encodePem,
  extension,
  fingerprintOf,
} from '@countersign/x509';
import { temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';
import { serveTls } from './tls-server.ts';

const ca = testCa();
const services = ca.intermediate({ pathLen: 0 });
const payments = services.svid('spiffe://example.com/payments', { dns: ['payments.example.com'] });

test('inspect of a chain says each certificate, their links, and the same as JSON', async () => {
  const input = payments.chainPem + ca.rootPem;
  const [text, json] = await Promise.all([
    countersign(['inspect', '-'], { input }),
    countersign(['inspect', '-', '-o', 'json'], { input }),
  ]);
  assert.equal(text.code, 0);
  assert.equal(text.stderr, '');
  for (const said of [
    'certificate 1 of 3 in -',
    'uri:spiffe://example.com/payments',
    'dns:payments.example.com',
    'ECDSA P-256',
    'expires in 23h 59m',
    'basicConstraints (critical): CA, at most 0 intermediates below',
    'certificate 1 is signed by certificate 2',
    'certificate 2 is signed by certificate 3',
    'certificate 3 is signed by itself',
    fingerprintOf(payments.certificate),
  ]) {
    assert.ok(text.stdout.includes(said), `does not say "${said}":\n${text.stdout}`);
  }
  const { items, links } = JSON.parse(json.stdout);
  assert.equal(items.length, 3);
  assert.deepEqual(items[0].names, [
    'dns:payments.example.com',
    'uri:spiffe://example.com/payments',
  ]);
  assert.equal(items[0].serial, payments.certificate.serialHex);
  assert.equal(items[0].sha256, fingerprintOf(payments.certificate));
  assert.equal(items[0].validNow, true);
  assert.equal(items[2].ca, true);
  assert.deepEqual(links[0], { certificate: 1, signedBy: 2 });
});

test('inspect knows requests, lists, keys and bundle documents, in PEM and DER, and prints no private half', async (t) => {
  const directory = await temporaryDirectory(t);
  const request = await buildCertificateRequest({
    subject: buildName([{ type: 'CN', value: 'asked' }]),
    extensions: [extension.subjectAltName([{ kind: 'dns', value: 'asked.example' }])],
    signer: payments.signer,
  });
  const crl = await services.crl([payments.certificate]);
  const bundle = formatBundleDocument({ trustDomain: 'example.com', authorities: [ca.root] });
  const files: Readonly<Record<string, Uint8Array | string>> = {
    'request.der': request,
    'list.pem': encodePem('X509 CRL', crl.raw),
    'key.pem': payments.keyPem,
    'bundle.json': bundle,
    'root.key.json': JSON.stringify({
      ...{ format: 'countersign-sealed-key', version: 1, name: 'root', publicKey: 'ab'.repeat(32) },
    }),
  };
  const inspected = await Promise.all(
    Object.entries(files).map(async ([name, content]) => {
      const path = join(directory, name);
      await writeFile(path, content);
      const ran = await countersign(['inspect', path, '-o', 'json']);
      assert.equal(ran.code, 0, ran.stderr);
      return ran.stdout;
    }),
  );
  const [asked, list, key, document, sealed] = inspected.map((text) => JSON.parse(text).items);
  assert.equal(asked[0].kind, 'certificate request');
  assert.equal(asked[0].possession, true);
  assert.deepEqual(asked[0].names, ['dns:asked.example']);
  assert.deepEqual(
    list[0].entries.map((entry: { serial: string }) => entry.serial),
    [payments.certificate.serialHex],
  );
  assert.equal(key[0].kind, 'private key');
  assert.equal(key[0].key.algorithm, 'ECDSA P-256');
  const secret = payments.privateKey.export({ format: 'jwk' }).d!;
  assert.ok(
    !inspected[2]!.includes(secret) && !inspected[2]!.includes(payments.keyPem.slice(40, 80)),
  );
  assert.equal(document[0].kind, 'bundle document');
  assert.equal(document[1].sha256, fingerprintOf(ca.root));
  assert.deepEqual([sealed[0].kind, sealed[0].name], ['key of an authority', 'root']);
  assert.equal(sealed[0].publicKeySha256, 'ab'.repeat(32));
});

test('inspect takes what an https address presents, judged by nobody', async (t) => {
  const port = await serveTls(t, payments);
  const ran = await countersign(['inspect', `https://127.0.0.1:${port}`, '-o', 'json']);
  assert.equal(ran.code, 0, ran.stderr);
  const { items } = JSON.parse(ran.stdout);
  assert.deepEqual(
    items.map((item: { sha256: string }) => item.sha256),
    payments.chain.map(fingerprintOf),
  );
});

test('an address that nobody answers is exit code 3, and so is one that does not speak TLS', async (t) => {
  const listening = (server: Server) =>
    new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    });
  const plain = createTcpServer((socket) => socket.on('error', () => {}).end('not TLS\n'));
  t.after(() => plain.close());
  const port = await listening(plain);
  const closed = createTcpServer();
  const free = await listening(closed);
  await new Promise((resolve) => closed.close(resolve));
  for (const address of [`https://127.0.0.1:${port}`, `https://127.0.0.1:${free}`]) {
    const ran = await countersign(['inspect', address]);
    assert.equal(ran.code, 3);
    assert.equal(ran.stdout, '');
    assert.match(ran.stderr, /connect to "127\.0\.0\.1:\d+": .+\nhint: .+\nERR_CLI_UNREACHABLE\n$/);
  }
});

test('what cannot be read gets one clear error: no file, no format, a broken certificate', async (t) => {
  const directory = await temporaryDirectory(t);
  const broken = join(directory, 'broken.pem');
  const { raw } = payments.certificate;
  await writeFile(broken, encodePem('CERTIFICATE', raw.subarray(0, raw.length - 5)));
  const cases = [
    { words: ['inspect', join(directory, 'none.pem')], code: 'ERR_FILE', said: /no such file/ },
    { words: ['inspect', '-'], code: 'ERR_CLI_INPUT_KIND', said: /neither PEM, DER nor/ },
    { words: ['inspect', broken], code: 'ERR_DER_', said: /block 1 "CERTIFICATE"/ },
  ];
  for (const { words, code, said } of cases) {
    const ran = await countersign(words, { input: 'nothing of the kind' });
    assert.ok(ran.code === 2 || ran.code === 1, `exit code ${ran.code}`);
    assert.equal(ran.stdout, '');
    const [what = '', hint = '', last = ''] = ran.stderr.split('\n');
    assert.match(what, said);
    assert.match(hint, /^hint: /);
    assert.ok(last.startsWith(code), last);
  }
});

test('a name that would steer the terminal is shown, not sent', async () => {
  const odd = ca.leaf({ dns: ['a\u001b[2Jb.example'] });
  const ran = await countersign(['inspect', '-'], { input: odd.certificatePem });
  assert.equal(ran.code, 0, ran.stderr);
  assert.ok(!ran.stdout.includes('\u001b'));
});
