import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { denial } from '@countersign/base';
import { revealJoinToken } from '@countersign/wire';
import {
  buildName,
  encodePem,
  encodePrivateKey,
  fingerprintOf,
  formatGeneralName,
  formatName,
  generateKeyPair,
  keySigner,
  spkiOf,
} from '@countersign/x509';
import {
  basic,
  certificatesOf,
  dns,
  EstWorld,
  estRequest,
  inLines,
  password,
} from '../../test/est-under-test.ts';
import { refusalOfDenial } from './est-refusal.ts';

const web = [dns('web.example.test')];

describe('the EST edge', () => {
  let world: EstWorld;
  before(async () => {
    world = await EstWorld.start();
  });
  after(() => world.close());

  it('tells everybody its authorities, by label too, in base64 of one line', async () => {
    const all = await world.must('cacerts', { user: '' });
    const { type, encoding } = {
      type: all.headers['content-type'],
      encoding: all.headers['content-transfer-encoding'],
    };
    assert.equal(type, 'application/pkcs7-mime');
    assert.equal(encoding, 'base64');
    assert.match(all.text, /^[A-Za-z0-9+/]+=*$/);
    const names = (answer: typeof all) =>
      answer.certificates().map(({ subject }) => formatName(subject));
    assert.equal(names(all).length, 3);
    const own = await world.must('meters/cacerts', { user: '' });
    assert.equal(names(own).length, 2);
    const prints = own.certificates().map(fingerprintOf);
    assert.ok(prints.includes(world.api.authority.rootFingerprint));
    assert.equal((await world.ask('cacerts', { method: 'HEAD' })).text, '');
    assert.equal((await world.ask('csrattrs', { user: '' })).status, 204);
  });

  it('enrols a user by password, whole and in chunks, with evidence in the ledger', async () => {
    const csr = () => estRequest({ commonName: 'web.example.test', names: web });
    for (const isChunked of [false, true]) {
      const answer = await world.must('simpleenroll', { csr, isChunked });
      const [leaf, ...more] = answer.certificates();
      assert.ok(leaf);
      assert.equal(more.length, 0);
      assert.equal(formatName(leaf.subject), 'CN=web.example.test');
      assert.deepEqual(leaf.subjectAltNames.map(formatGeneralName), ['dns:web.example.test']);
      const record = await world.record(leaf.serialHex);
      assert.equal(record?.provisioner, 'est');
      assert.equal(record?.grantedBy, 'est user "alice"');
    }
    // A common name alone is the name; PEM is taken as well.
    const titled = await estRequest({ commonName: 'old.example.test' });
    const body = encodePem('CERTIFICATE REQUEST', titled);
    const [leaf] = (await world.must('simpleenroll', { body })).certificates();
    assert.deepEqual(leaf?.subjectAltNames.map(formatGeneralName), ['dns:old.example.test']);
  });

  it('asks a stranger who it is, and says the same of each wrong credential', async () => {
    const csr = () => estRequest({ names: web });
    const nobody = await world.refused(401, /user with a password/, 'simpleenroll', {
      csr,
      user: '',
    });
    assert.match(nobody.headers['www-authenticate'] ?? '', /^Basic realm="est"/);
    const told = (text: string) => text.replace(/\(.*\)/, '');
    const wrong = await world.refused(401, /is needed/, 'simpleenroll', {
      csr,
      headers: { authorization: basic('alice', 'wrong') },
    });
    const unknown = await world.refused(401, /is needed/, 'simpleenroll', { csr, user: 'carol' });
    assert.equal(told(unknown.text), told(wrong.text));
    assert.equal(told(nobody.text), told(wrong.text));
    const lines = JSON.stringify(world.api.lines);
    assert.match(lines, /wrong password of \\"alice/);
    assert.ok(!lines.includes(password) && !lines.includes(basic('alice', password)));
  });

  it('refuses what the policy does not give, by the provisioner of each caller', async () => {
    const asking = (name: string) => ({ csr: () => estRequest({ names: [dns(name)] }) });
    await world.refused(403, /evil\.invalid/, 'simpleenroll', asking('evil.invalid'));
    const title = { csr: () => estRequest({ commonName: 'evil.invalid', names: web }) };
    await world.refused(403, /evil\.invalid/, 'simpleenroll', title);
    await world.must('simpleenroll', asking('gold.example.test'));
    const asBob = { ...asking('gold.example.test'), user: 'bob' };
    await world.refused(403, /gold\.example\.test/, 'partners/simpleenroll', asBob);
    await world.refused(403, /not by this label/, 'simpleenroll', asBob);
    const audit = world.api.lines.map((line) => `${line.code} ${line.by}`);
    assert.ok(audit.includes('ERR_EST_CREDENTIALS anonymous'));
  });

  it('redeems a one-time token once, as a password and by itself', async () => {
    const token = async () => {
      const made = await world.api.authority.createToken({
        spiffeId: 'spiffe://example.com/edge/box',
        dns: ['box.example.test'],
      });
      assert.ok(made.ok);
      return revealJoinToken(made.token);
    };
    const first = await token();
    const headers = { authorization: basic('any', first) };
    const csr = () => estRequest();
    const [leaf] = (await world.must('simpleenroll', { csr, headers })).certificates();
    assert.deepEqual(leaf?.subjectAltNames.map(formatGeneralName), [
      'uri:spiffe://example.com/edge/box',
      'dns:box.example.test',
    ]);
    await world.refused(401, /is needed/, 'simpleenroll', { csr, headers });
    const bearer = { authorization: `Bearer ${await token()}` };
    await world.refused(403, /does not grant/, 'simpleenroll', {
      csr: () => estRequest({ names: web }),
      headers: bearer,
    });
    await world.must('simpleenroll', { csr, headers: bearer });
  });

  it('renews the certificate that the client shows, under its names alone', async () => {
    const { privateKey } = await generateKeyPair({ type: 'EC', curve: 'P-256' });
    const signer = keySigner(privateKey);
    const parts = { commonName: 'web.example.test', names: web };
    const first = await world.must('simpleenroll', { csr: () => estRequest({ ...parts, signer }) });
    const [leaf] = first.certificates();
    assert.ok(leaf);
    const tls = { key: encodePrivateKey(privateKey), cert: encodePem('CERTIFICATE', leaf.raw) };
    const shown = { tls, user: '' };
    for (const operation of ['simplereenroll', 'simpleenroll']) {
      const csr = () => estRequest(parts);
      const [next] = (await world.must(operation, { ...shown, csr })).certificates();
      assert.equal(formatName(next?.subject ?? buildName([])), 'CN=web.example.test');
      assert.notEqual(next?.serialHex, leaf.serialHex);
      const record = await world.record(next?.serialHex ?? '');
      assert.equal(record?.grantedBy, leaf.serialHex);
    }
    const others = [
      { commonName: 'web.example.test', names: [...web, dns('b.example.test')] },
      { commonName: 'b.example.test', names: web },
      { names: web },
      {},
    ];
    for (const other of others) {
      const csr = () => estRequest(other);
      await world.refused(403, /the certificate has/, 'simplereenroll', { ...shown, csr });
    }
    // With a password too; but not by the password alone, nor by another authority's certificate.
    await world.must('simplereenroll', { tls, csr: () => estRequest(parts) });
    await world.refused(401, /is needed/, 'simplereenroll', { csr: () => estRequest(parts) });
    const device = await world.maker.device([{ type: 'O', value: 'Meters' }]);
    const csr = () => estRequest(parts);
    await world.refused(401, /is needed/, 'simplereenroll', { csr, tls: device, user: '' });
    const revoked = {
      by: 'serial',
      value: leaf.serialHex,
      reason: 'superseded',
      waitMs: 0,
    } as const;
    assert.ok((await world.api.authority.revoke(revoked, { kind: 'operator' })).ok);
    await world.refused(401, /is needed/, 'simplereenroll', { ...shown, csr });
  });

  it('takes a manufacturer certificate as the first identity, and names the device by it', async () => {
    const tls = await world.maker.device([
      { type: 'O', value: 'Meter Maker' },
      { type: 'serialNumber', value: 'M-7' },
    ]);
    const asked = { tls, user: '' };
    const own = ['uri:spiffe://example.com/meters/M-7', 'dns:m-7.meters.example.test'];
    // A request without names, one with a title of the maker's, and one with its name.
    for (const parts of [
      {},
      { commonName: 'Meter 7' },
      { names: [dns('M-7.meters.example.test')] },
    ]) {
      const csr = () => estRequest(parts);
      const [leaf] = (await world.must('meters/simpleenroll', { ...asked, csr })).certificates();
      assert.deepEqual(leaf?.subjectAltNames.map(formatGeneralName), own);
      assert.equal(Math.round(((leaf?.notAfter ?? 0) - Date.now()) / 3_600_000), 48);
      const record = await world.record(leaf?.serialHex ?? '');
      assert.equal(record?.provisioner, 'meters');
      assert.match(
        record?.grantedBy ?? '',
        /^est device ".*M-7.*" of "meters", certificate [0-9a-f]{64} under label "meters"$/,
      );
    }
    const foreign = () => estRequest({ names: [dns('m-8.meters.example.test')] });
    await world.refused(403, /the device may have/, 'simpleenroll', { ...asked, csr: foreign });
    const unfit = [
      [
        { type: 'O' as const, value: 'Others' },
        { type: 'serialNumber' as const, value: 'M-7' },
      ],
      [
        { type: 'O' as const, value: 'Meters' },
        { type: 'serialNumber' as const, value: 'a.b' },
      ],
      [{ type: 'O' as const, value: 'Meters' }],
    ];
    for (const subject of unfit) {
      const other = { tls: await world.maker.device(subject), user: '' };
      await world.refused(401, /is needed/, 'simpleenroll', { ...other, csr: () => estRequest() });
    }
  });

  for (const [version, type] of [
    ['TLSv1.2', 'tls-unique'],
    ['TLSv1.3', 'tls-exporter'],
  ] as const) {
    it(`links a request to its connection by ${type}, and refuses the link of another`, async () => {
      const tls = { minVersion: version, maxVersion: version };
      const good = (socket: import('node:tls').TLSSocket) => {
        const bytes =
          version === 'TLSv1.2'
            ? socket.getFinished()
            : socket.exportKeyingMaterial(32, 'EXPORTER-Channel-Binding', Buffer.alloc(0));
        return estRequest({ names: web, challenge: bytes?.toString('base64') ?? '' });
      };
      let stolen: Uint8Array | undefined;
      await world.must('simpleenroll', {
        tls,
        csr: async (socket) => (stolen = await good(socket)),
      });
      const again = { tls, csr: () => stolen ?? new Uint8Array() };
      await world.refused(400, new RegExp(`not ${type}`), 'simpleenroll', again);
      const text = { tls, csr: () => estRequest({ names: web, challenge: 'hello' }) };
      await world.refused(400, new RegExp(`not ${type}`), 'simpleenroll', text);
    });
  }

  it('makes a key where it is asked for one, with the certificate for it', async () => {
    const csr = () => estRequest({ names: web });
    const { text } = await world.must('serverkeygen', { csr });
    const parts = text.split('\r\n\r\n').slice(1);
    const [key = '', certificate = ''] = parts.map((each) => each.split('--')[0] ?? '');
    const [leaf] = certificatesOf(certificate);
    const der = Buffer.from(key, 'base64');
    const made = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }));
    assert.deepEqual(leaf?.spki.raw, spkiOf(made).raw);
  });

  it('refuses what is no request, each by its status', async () => {
    const enroll = (status: number, says: RegExp, asked: object) =>
      world.refused(status, says, 'simpleenroll', asked);
    await enroll(400, /base64/, { body: '%%%' });
    await enroll(400, /base64/, { body: '', method: 'POST' });
    await enroll(400, /certificate request/, { body: inLines(Buffer.from('not DER')) });
    const forged = await estRequest({ names: web });
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    await enroll(400, /signature/, { csr: () => forged });
    await enroll(413, /65536 bytes/, { body: 'A'.repeat(70_000) });
    await enroll(413, /65536 bytes/, { body: 'A'.repeat(70_000), isChunked: true });
    await enroll(415, /application\/pkcs10/, {
      body: 'AAAA',
      headers: { 'content-type': 'text/plain' },
    });
    const put = await enroll(405, /by POST/, { method: 'GET' });
    assert.equal(put.headers.allow, 'POST');
    await world.refused(501, /fullcmc/, 'fullcmc', { body: 'AAAA' });
    await world.refused(404, /no such/, 'nothing', {});
    await world.refused(404, /no such/, 'gold/cacerts', {});
    await world.refused(404, /no such/, 'a/b/cacerts', {});
    const csr = () => estRequest({ names: web });
    const broken = await world.refused(503, /cannot be answered now/, 'simpleenroll', {
      csr,
      user: 'broken',
    });
    assert.ok(broken.headers['retry-after']);
  });
});

it('an EST edge bounds wrong passwords of an address, and requests of a caller', async (t) => {
  const world = await EstWorld.start((yaml) =>
    yaml.replace('requests_per_hour: 40', 'requests_per_hour: 2'),
  );
  t.after(() => world.close());
  const csr = () => estRequest({ names: web });
  for (let i = 0; i < 2; i += 1) await world.must('simpleenroll', { csr });
  const much = await world.refused(429, /too many requests/, 'simpleenroll', { csr });
  assert.match(String(much.headers['retry-after']), /^\d+$/);
  const headers = { authorization: basic('alice', 'wrong') };
  for (let i = 0; i < 4; i += 1) await world.refused(401, /./, 'simpleenroll', { csr, headers });
  const waits = await world.refused(429, /too many wrong/, 'simpleenroll', { csr, headers });
  assert.match(String(waits.headers['retry-after']), /^\d+$/);
  await world.refused(429, /too many wrong/, 'simpleenroll', { csr });
});

it('an EST edge that requires the link says so, and refuses a request without', async (t) => {
  const world = await EstWorld.start((yaml) =>
    yaml.replace('est:', 'est:\n  channel_binding: required'),
  );
  t.after(() => world.close());
  const { text, headers } = await world.must('csrattrs', { user: '' });
  assert.equal(headers['content-type'], 'application/csrattrs');
  assert.equal(Buffer.from(text, 'base64').toString('hex'), '300b06092a864886f70d010907');
  await world.refused(400, /no challengePassword/, 'simpleenroll', {
    csr: () => estRequest({ names: web }),
  });
});

it('an order that waits for a key of the authority is accepted, and to be repeated', () => {
  const waits = refusalOfDenial(denial('ERR_ROTATION_BEHIND', 'the key is not taken up yet'));
  assert.deepEqual([waits.status, waits.headers], [202, { 'Retry-After': '10' }]);
});
