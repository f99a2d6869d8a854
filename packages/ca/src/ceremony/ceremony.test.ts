import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { noLog, noMeter, Secret, systemClock } from '@countersign/base';
import {
  buildCertificateRequest,
  certificateRequestFromPem,
  encodePem,
  fingerprintOf,
  generateKeyPair,
  keySigner,
  parseCertificate,
  validatePath,
} from '@countersign/x509';
import { issuedOf, payments, request } from '../../test/authority-under-test.ts';
import {
  completeInit,
  formatCeremony,
  initAuthority,
  initOffline,
  keepSuperior,
  openAuthority,
  parseCaConfig,
  signRequest,
} from '../index.ts';

const yaml = `
ca:
  root: { curve: P-384 }
  intermediate:
    production:
      issuer: europe
      curve: P-256
      nameConstraints: { permitted: [prod.internal] }
    europe:
      algorithm: RSA
      keySize: 2048
      policies: [1.3.6.1.4.1.99999.1.1]
      nameConstraints: { permitted: [internal], excluded: [secret.internal] }
    rest: { curve: P-256 }
publish: { url: "http://ca.internal:8080", crl: {} }
service_certificates:
  san_policies: { spiffe_trust_domain: example.com, allowed_dns_patterns: ["**.internal"] }
`;

const issuedBy =
  'issued_by: { files: { request: ours.csr, signed: signed.pem }, roots: other.pem }';

describe('a root that is offline', () => {
  let home: string;
  let [data, root] = ['', ''];
  let made: Awaited<ReturnType<typeof initOffline>>;
  const shared = { clock: systemClock, log: noLog };
  const config = parseCaConfig(yaml, 'ca.yaml');
  const by = ['Alice Adams', 'Bob Berg'];
  const csrOf = (name: string) => readFile(join(data, 'requests', `${name}.csr`), 'utf8');
  const sign = (text: string, more: object = {}) =>
    signRequest({ ...shared, directory: root, request: text, file: 'x.csr', by, ...more });
  const complete = (...pems: string[]) =>
    completeInit({ ...shared, data, signed: pems.map((pem, i) => ({ file: `${i}.pem`, pem })) });
  const open = () => openAuthority({ ...shared, config, data, meter: noMeter });
  const signed = async (name: string) => (await sign(await csrOf(name))).pem;

  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'countersign-ceremony-'));
    [data, root] = [join(home, 'state'), join(home, 'root')];
    made = await initOffline({ ...shared, config, data, rootOut: root, configText: yaml, by });
  });
  after(() => rm(home, { recursive: true }));

  it('has its key in a directory of its own, and the data directory waits for it', async () => {
    assert.deepEqual((await readdir(root)).sort(), [
      ...['ca.yaml', 'ceremony.jsonl', 'root.json', 'root.key.json', 'root.pem', 'unseal.key'],
    ]);
    assert.equal((await stat(join(root, 'root.key.json'))).mode & 0o777, 0o600);
    assert.equal((await stat(root)).mode & 0o777, 0o700);
    const files = await readdir(data);
    assert.ok(!files.includes('root.key.json') && !files.includes('state.json'), files.join());
    assert.deepEqual(
      made.requests.map((file) => file.slice(data.length)),
      ['/requests/europe.csr', '/requests/rest.csr'],
    );
    await assert.rejects(open(), {
      code: 'ERR_CEREMONY_PENDING',
      message: /waits for the offline root/,
    });
    await assert.rejects(initAuthority({ ...shared, config, data }), { code: 'ERR_STATE_EXISTS' });
  });

  it('signs what its own ca.yaml has, with a record of who, what, hash and when', async () => {
    const text = await csrOf('europe');
    const { record, certificate, repeated } = await sign(text);
    assert.equal(repeated, false);
    assert.equal(record.act, 'intermediate signed');
    assert.deepEqual(record.by, by);
    assert.equal(record.root, made.rootFingerprint);
    assert.equal(record.certificateSha256, fingerprintOf(certificate));
    assert.equal(record.permitted, '"internal"');
    assert.ok(Math.abs(Date.parse(record.at) - Date.now()) < 60_000);
    const shown = formatCeremony(record);
    for (const part of [
      'Alice Adams, Bob Berg',
      'RSA 2048',
      fingerprintOf(certificate),
      '"secret.internal"',
    ]) {
      assert.ok(shown.includes(part), part);
    }
    const lines = (await readFile(join(root, 'ceremony.jsonl'), 'utf8')).trim().split('\n');
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).kind),
      ['act', 'intent', 'act'],
    );
  });

  it('gives the same certificate for the same request, and none for another of its serial', async () => {
    const text = await csrOf('europe');
    const [first, second] = [await sign(text), await sign(text)];
    assert.equal(second.repeated, true);
    assert.equal(first.pem, second.pem);
    const { privateKey } = await generateKeyPair({ type: 'RSA', bits: 2048 });
    const { extensions, subject } = certificateRequestFromPem(text);
    const other = await buildCertificateRequest({
      signer: keySigner(privateKey),
      subject,
      extensions,
    });
    const head = text.slice(0, text.indexOf('-----BEGIN'));
    await assert.rejects(sign(head + encodePem('CERTIFICATE REQUEST', other)), {
      code: 'ERR_CEREMONY_REQUEST',
      message: /which another request had before/,
    });
  });

  const tampered: readonly (readonly [string, string, string, RegExp])[] = [
    [
      'another name',
      'name: rest',
      'name: production',
      /is for "production", the root's ca\.yaml has it sign "europe", "rest"/,
    ],
    [
      'the name of another',
      'name: rest',
      'name: europe',
      /has a key ECDSA P-256, ca\.yaml has RSA 2048/,
    ],
    ['a year too long', 'not-after: 2', 'not-after: 3', /asks for .*, ca\.yaml has 8760h/],
    ['a serial of another form', 'serial: 01', 'serial: 02', /has no "serial"/],
    ['a line too many', 'name: rest', 'name: rest\nca: true', /has an unknown line "ca"/],
    ['no lines', 'countersign-request: 1', '', /does not begin with "countersign-request: 1"/],
  ];
  for (const [what, from, to, message] of tampered) {
    it(`signs no request with ${what}`, async () => {
      const text = await csrOf('rest');
      assert.ok(text.includes(from));
      await assert.rejects(sign(text.replace(from, to)), { code: 'ERR_CEREMONY_REQUEST', message });
    });
  }

  it('signs no request that another key signed, or of a changed ca.yaml', async () => {
    const text = await csrOf('rest');
    const broken = text.replace(/.{8}(?=\n-----END)/, 'AAAAAAAA');
    await assert.rejects(sign(broken));
    const file = join(root, 'ca.yaml');
    await writeFile(
      file,
      yaml.replace(
        'rest: { curve: P-256 }',
        'rest: { curve: P-256, nameConstraints: { permitted: [a] } }',
      ),
    );
    await assert.rejects(sign(text), {
      code: 'ERR_CEREMONY_REQUEST',
      message: /and the root's ca\.yaml differ in nameConstraints of "rest"/,
    });
    await writeFile(file, yaml);
  });

  it('takes back only what was asked for, all of it, and of this root', async () => {
    const [europe, rest] = [await signed('europe'), await signed('rest')];
    await assert.rejects(complete(europe), {
      code: 'ERR_CEREMONY_PENDING',
      message: /no certificate for ".*rest\.csr" is among those given/,
    });
    const flipped = parseCertificate(certificateOf(rest)).raw.slice();
    flipped[flipped.length - 3] = (flipped.at(-3) ?? 0) ^ 1;
    await assert.rejects(complete(europe, encodePem('CERTIFICATE', flipped)), {
      code: 'ERR_CEREMONY_REQUEST',
      message: /does not lead to the root/,
    });
    await assert.rejects(open(), { code: 'ERR_CEREMONY_PENDING' });
  });

  it('leaves a whole authority behind once its certificates are carried back', async () => {
    const rest = await signed('rest');
    const done = await complete(await signed('europe'), rest);
    assert.equal(done.rootFingerprint, made.rootFingerprint);
    assert.ok(!(await readdir(data)).includes('init.json'));
    await assert.rejects(complete(rest), {
      code: 'ERR_CEREMONY_PENDING',
      message: /nothing there waits/,
    });
    const authority = await open();
    const order = { spiffeId: payments, dns: ['a.prod.internal'] };
    const issued = issuedOf(await authority.issue({ csr: await request(), ...order }));
    const [leaf, ...intermediates] = issued.chain.map((der) => parseCertificate(der));
    assert.equal(intermediates.length, 2);
    const path = validatePath({
      leaf: leaf!,
      intermediates,
      anchors: [authority.root],
      at: Date.now(),
    });
    assert.ok(path.ok, path.ok ? '' : path.detail);
    assert.equal((await authority.ledger.openIntents()).length, 0);
    // Its key is not here for another authority to certify.
    const signer = { title: 'another authority', sign: async () => undefined };
    const kept = { authority, signer, validityMs: 1, file: join(data, 'superior.pem') };
    await assert.rejects(keepSuperior({ ...kept, ...shared }), {
      code: 'ERR_SUPERIOR_OFFLINE',
      message: /ca\.issued_by wants: the key is not here, the root is offline$/,
      hint: /take `issued_by` out of ca\.yaml/,
    });
    await authority.close();
  });

  it('may be sealed with a passphrase of its own', async () => {
    const [state, vault] = [join(home, 'state-2'), join(home, 'root-2')];
    const rootPassphrase = new Secret('correct horse');
    const options = { ...shared, config, data: state, rootOut: vault, configText: yaml, by: [] };
    const { requests } = await initOffline({ ...options, rootPassphrase });
    const text = await readFile(requests[0] ?? '', 'utf8');
    const ask = (more: object) =>
      signRequest({ ...shared, directory: vault, request: text, file: 'x.csr', by, ...more });
    await assert.rejects(ask({}), { code: 'ERR_KEY_SEALED', message: /none is given/ });
    assert.equal((await ask({ passphrase: rootPassphrase })).repeated, false);
  });

  it('is made apart, in a place that is empty, or not at all', async () => {
    const [state, vault] = [join(home, 'state-3'), join(home, 'root-3')];
    const options = { ...shared, config, configText: yaml, by };
    await assert.rejects(initOffline({ ...options, data: state, rootOut: join(state, 'root') }), {
      code: 'ERR_USAGE',
    });
    await assert.rejects(initOffline({ ...options, data: state, rootOut: root }), {
      code: 'ERR_STATE_EXISTS',
    });
    const below = yaml.replace('ca:', `ca:\n  ${issuedBy}`);
    const above = { ...options, config: parseCaConfig(below, 'ca.yaml'), rootOut: vault };
    await assert.rejects(initOffline({ ...above, data: state }), {
      code: 'ERR_SUPERIOR_OFFLINE',
      message: /^make an offline root: ca\.issued_by wants its key certified/,
      hint: /^take "issued_by" out of ca\.yaml; or keep the root here/,
    });
    const broken = {
      ...config,
      root: { ...config.root, key: { type: 'RSA', bits: 512 } as const },
    };
    await assert.rejects(initOffline({ ...options, config: broken, data: state, rootOut: vault }));
    const left = await readdir(home);
    assert.ok(!left.some((name) => name.includes('init-') || name.endsWith('-3')), left.join());
  });
});

function certificateOf(pem: string): Uint8Array {
  return Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');
}
