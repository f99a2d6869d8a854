import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { Agent, request as httpsRequest } from 'node:https';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { noLog, systemClock } from '@countersign/base';
import { parseBundleDocument, staticBundles, verifyPeer } from '@countersign/spiffe';
import {
  createJoinToken,
  formatEnrolRequest,
  formatRevokeRequest,
  type JoinToken,
  type RevokeRequest,
} from '@countersign/wire';
import { certificatesFromPem, fingerprintOf, parseCertificate } from '@countersign/x509';
import {
  exchange,
  identityOf,
  newRequest,
  type TestApi,
  type TestIdentity,
  testApi,
} from '../../test/api-under-test.ts';
import { exportAudit } from '../ledger/export-audit.ts';
import { memoryLedger } from '../ledger/memory-ledger.ts';
import { verifyAudit } from '../ledger/verify-audit.ts';
import { adminClient } from './admin-client.ts';
import { judgePeer } from './authorize-caller.ts';

const orders = 'spiffe://example.com/ns/prod/sa/orders';
const payments = 'spiffe://example.com/ns/prod/sa/payments';
const admin = 'spiffe://example.com/ns/ops/sa/admin';

const order: RevokeRequest = {
  by: 'spiffe-id',
  value: orders,
  reason: 'superseded',
  block: false,
  dryRun: false,
  waitMs: 0,
};

describe('authority api', () => {
  let api: TestApi;
  before(async () => {
    api = await testApi();
  });
  after(() => api.close());

  it('gives its bundle to anybody, as document and as pem', async () => {
    const client = api.client();
    const bundle = parseBundleDocument(await client.bundle(), 'example.com');
    const [pem] = certificatesFromPem(await client.bundlePem());
    assert.equal(fingerprintOf(bundle.authorities[0]!), api.authority.rootFingerprint);
    assert.equal(fingerprintOf(pem!), api.authority.rootFingerprint);
  });

  it('shows its own certificate, with its address and its SPIFFE ID', async () => {
    const socket = connectTls({
      port: api.server.port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
    });
    await new Promise((resolve) => socket.once('secureConnect', resolve));
    const own = parseCertificate(socket.getPeerX509Certificate()!.raw);
    socket.destroy();
    assert.deepEqual(
      own.subjectAltNames.map((name) => ('value' in name ? name.value : name.kind)),
      ['spiffe://example.com/countersign/ca', 'ip'],
    );
  });

  it('enrols once by a token, under the names of the token', async () => {
    const operator = await api.operator();
    const { token } = await operator.createToken({
      spiffeId: orders,
      dns: ['orders.prod.internal'],
      ip: [],
    });
    const { csr } = await newRequest();
    const issued = await api.client().enrol({ token, csr });
    const leaf = parseCertificate(issued.chain[0]!);
    assert.equal(issued.spiffeId, orders);
    assert.equal(issued.serial, leaf.serialHex);
    assert.equal(issued.chain.length, 2);
    assert.ok((await api.authority.ledger.certificate(issued.serial)) !== undefined);
    await assert.rejects(api.client().enrol({ token, csr: (await newRequest()).csr }), {
      code: 'ERR_TOKEN_SPENT',
    });
  });

  it('renews over mTLS, for the same names and a new key', async () => {
    const identity = await api.enrol(orders);
    const { csr, key } = await newRequest();
    const renewed = await api.client(identity).renew({ csr });
    assert.equal(renewed.spiffeId, orders);
    assert.notEqual(renewed.serial, identity.response.serial);
    const status = await api.client(identityOf(renewed, key)).status();
    assert.equal(status.trustDomain, 'example.com');
    assert.equal(status.rootFingerprint, api.authority.rootFingerprint);
    assert.ok(status.ledger.issued > 0);
    // It is no operator: how its own certificate is, and of the authority no more than that it is well.
    assert.deepEqual(
      Object.keys(status).filter((name) => /findings|signers|lists|log/.test(name)),
      [],
    );
    const { own } = status;
    assert.deepEqual([own?.spiffeId, own?.serial, own?.isWell], [orders, renewed.serial, true]);
    const whole = await api.client(await api.enrol(admin)).status();
    assert.deepEqual([whole.findings, whole.own], [[], undefined]);
  });

  it('wants a certificate for renewal, revocation, status, feed and lease, and tells a stranger nothing but an id', async () => {
    const body = '{}';
    const headers = { 'content-type': 'application/json' };
    for (const [method, path] of [
      ['POST', '/v1/renew'],
      ['POST', '/v1/revoke'],
      ['GET', '/v1/status'],
      ['GET', '/v1/feed?after=0&instance=gateway-1'],
      ['POST', '/v1/feed/lease'],
    ] as const) {
      const answer = await exchange(api, {
        method,
        path,
        headers,
        body: method === 'POST' ? body : '',
      });
      const problem = JSON.parse(answer.text);
      assert.equal(answer.status, 401, path);
      assert.deepEqual(Object.keys(problem).sort(), ['id', 'status', 'title', 'type']);
      const line = api.lines.find((each) => each.id === problem.id);
      assert.equal(line?.code, 'ERR_API_CERTIFICATE_NEEDED');
      assert.equal(line.address, '127.0.0.1');
    }
  });

  it('hides the admin routes from everybody but the admin socket', async () => {
    const identity = await api.enrol(admin);
    for (const path of ['/v1/admin/token', '/v1/admin/issue', '/v1/nothing']) {
      const answer = await exchange(api, { method: 'POST', path, identity, body: '{}' });
      assert.equal(answer.status, 404);
      assert.equal(JSON.parse(answer.text).code, undefined);
    }
    const { csr } = await newRequest();
    const operator = await api.operator();
    const issued = await operator.issue({ csr, spiffeId: payments, dns: [], ip: [] });
    assert.equal(issued.spiffeId, payments);
  });

  it('refuses a request for another method, media type, size or shape, each by its own code', async () => {
    const json = { 'content-type': 'application/json' };
    const send = (options: object) =>
      exchange(api, { method: 'POST', path: '/v1/enrol', ...options });
    assert.equal((await send({ method: 'DELETE' })).status, 404);
    assert.equal((await send({ body: '{}' })).status, 415);
    const large = await send({ headers: json, body: `{"token":"${'x'.repeat(70_000)}"}` });
    assert.equal(large.status, 413);
    const chunked = { ...json, 'transfer-encoding': 'chunked' };
    assert.equal((await send({ headers: chunked, body: 'x'.repeat(70_000) })).status, 413);
    const broken = await send({ headers: json, body: '{"token":' });
    assert.equal(JSON.parse(broken.text).code, 'ERR_WIRE_JSON');
    const unknown = await send({ headers: json, body: '{"tokenn":1}' });
    assert.equal(JSON.parse(unknown.text).code, 'ERR_WIRE_MESSAGE');
    const huge = await send({ headers: { 'x-much': 'y'.repeat(20_000) } });
    assert.equal(huge.status, 431);
  });

  it('takes who hangs up amid a request for no failure of its own', async () => {
    const before = api.lines.length;
    const request = httpsRequest({
      ...{ host: '127.0.0.1', port: api.server.port, path: '/v1/enrol', method: 'POST' },
      ...{ rejectUnauthorized: false, agent: false },
      headers: { 'content-type': 'application/json', 'content-length': '1000' },
    });
    request.on('error', () => {});
    await new Promise((written) => request.write('{"token":', written));
    await systemClock.sleep(50);
    request.destroy();
    const left = 'client left amid its request';
    const since = () => api.lines.slice(before);
    const isTold = () => since().some(({ message }) => message === left);
    for (let i = 0; i < 400 && !isTold(); i += 1) await systemClock.sleep(5);
    assert.ok(isTold());
    assert.deepEqual(
      since().filter(({ level }) => level === 'error'),
      [],
    );
    await api.client().bundle();
  });

  it('answers where a stream breaks before its head, and goes on', async () => {
    const { issuanceLog } = api.authority;
    const broken = { tile: async () => ({ bytes: Uint8Array.of(1, 2, 3), isPacked: true }) };
    Object.assign(api.authority, { issuanceLog: broken });
    try {
      const answer = await exchange(api, { method: 'GET', path: '/v1/log/tile/entries/000.p/1' });
      assert.equal(answer.status, 500);
      assert.equal(JSON.parse(answer.text).code, 'ERR_LOG_FORM');
      await api.client().bundle();
    } finally {
      Object.assign(api.authority, { issuanceLog });
    }
  });

  it('lets nobody revoke others but administrators, and nobody block itself', async () => {
    const identity = await api.enrol(payments);
    const other = await api.enrol(orders);
    const client = api.client(identity);
    const forbidden = { code: 'ERR_REVOKE_FORBIDDEN' };
    await assert.rejects(client.revoke(order), forbidden);
    const { serial } = other.response;
    await assert.rejects(client.revoke({ ...order, by: 'serial', value: serial }), forbidden);
    await assert.rejects(client.revoke({ ...order, value: payments, block: true }), forbidden);
    assert.equal((await api.authority.ledger.status()).revocations, 0);
    const administrator = api.client(await api.enrol(admin));
    const dry = await administrator.revoke({ ...order, by: 'serial', value: serial, dryRun: true });
    assert.equal(dry.matched, 1);
    assert.equal((await api.authority.ledger.status()).revocations, 0);
    const done = await administrator.revoke({ ...order, by: 'serial', value: serial });
    assert.equal(done.position, (await api.authority.ledger.status()).revocationPosition);
  });

  it('answers who revokes itself, then refuses its certificate on every route, and nobody else', async () => {
    const identity = await api.enrol(`${orders}/self`);
    const client = api.client(identity);
    const innocent = api.client(await api.enrol(payments));
    const report = await client.revoke({ ...order, value: `${orders}/self` });
    assert.equal(report.matched, 1);
    const { csr } = await newRequest();
    const revoked = { code: 'ERR_API_CERTIFICATE_REVOKED' };
    await assert.rejects(client.renew({ csr }), revoked);
    await assert.rejects(client.revoke(order), revoked);
    await assert.rejects(client.feed({ after: 0, instance: 'follower-1' }).next(), revoked);
    await innocent.renew({ csr: (await newRequest()).csr });
  });

  it('tells who revoked itself that the connection ends, and nobody else', async () => {
    const self = `${orders}/self-2`;
    const agent = new Agent({ keepAlive: true });
    const revokeAs = async (identity: TestIdentity) =>
      await exchange(api, {
        ...{ method: 'POST', path: '/v1/revoke', identity, agent },
        headers: { 'content-type': 'application/json' },
        body: formatRevokeRequest({ ...order, value: self }),
      });
    const own = await revokeAs(await api.enrol(self));
    assert.equal(own.status, 200);
    assert.equal(own.headers.connection, 'close');
    const administrator = await revokeAs(await api.enrol(admin));
    assert.equal(administrator.status, 200);
    assert.equal(administrator.headers.connection, 'keep-alive');
    agent.destroy();
  });

  it('refuses a certificate of another authority, and tells nothing but an id', async () => {
    const elsewhere = await testApi();
    try {
      const identity = await elsewhere.enrol(orders);
      const answer = await exchange(api, { method: 'GET', path: '/v1/status', identity });
      assert.equal(answer.status, 403);
      assert.equal(JSON.parse(answer.text).code, undefined);
    } finally {
      await elsewhere.close();
    }
  });

  it('tells who shows a certificate that is for no client why it is refused', async () => {
    const { csr, key } = await newRequest();
    const operator = await api.operator();
    const order = { csr, spiffeId: orders, dns: [], ip: [], profile: 'server-only' };
    const identity = identityOf(await operator.issue(order), key);
    await assert.rejects(
      api.client(identity).renew({ csr: (await newRequest()).csr }),
      (thrown: Error & { code?: string; hint?: string }) =>
        thrown.code === 'ERR_CERT_PURPOSE' && /whoever renews/.test(thrown.hint ?? ''),
    );
  });

  it('refuses a certificate under our root that the ledger does not know, and one that has ended', async () => {
    const identity = await api.enrol(orders);
    const verified = verifyPeer({
      chain: certificatesFromPem(identity.cert),
      bundles: staticBundles(api.authority.bundle()),
      at: Date.now(),
      purpose: 'client',
    });
    assert.ok(verified.ok);
    const { peer } = verified;
    const { ledger } = api.authority;
    const now = Date.now();
    assert.deepEqual(await judgePeer(peer, { ledger, now }), { ok: true });
    const restored = memoryLedger({ clock: systemClock });
    const unknown = await judgePeer(peer, { ledger: restored, now });
    assert.equal(!unknown.ok && unknown.code, 'ERR_API_CERTIFICATE_UNKNOWN');
    const later = await judgePeer(peer, { ledger, now: peer.notAfter + 1 });
    assert.equal(!later.ok && later.code, 'ERR_PEER_EXPIRED');
  });

  it('says in the audit trail who asked, from where, and what was refused to whom', async () => {
    const identity = await api.enrol(`${orders}/audited`);
    const renewed = await api.client(identity).renew({ csr: (await newRequest()).csr });
    const others: RevokeRequest = { ...order, by: 'spiffe-id', value: payments };
    await assert.rejects(api.client(identity).revoke(others), { code: 'ERR_REVOKE_FORBIDDEN' });
    const lines: Record<string, unknown>[] = [];
    for await (const page of exportAudit(api.authority.ledger, 0)) {
      lines.push(
        ...page
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line)),
      );
    }
    const own = lines.filter((line) => line.by === `${orders}/audited`);
    assert.deepEqual(
      own.map(({ what, asked, from, code }) => [what, asked, from, code]),
      [
        ['renew', undefined, '127.0.0.1', undefined],
        ['refused', 'revoke', '127.0.0.1', 'ERR_REVOKE_FORBIDDEN'],
      ],
    );
    assert.equal(own[0]?.serial, renewed.serial);
    const enrolled = lines.find((line) => line.serial === identity.response.serial);
    assert.deepEqual(
      [enrolled?.what, enrolled?.by, enrolled?.grant],
      ['issue', 'anonymous', 'token'],
    );
    assert.deepEqual((await verifyAudit(api.authority.ledger)).findings, []);
  });

  it('slows down who guesses tokens, and nobody who has the right one', async () => {
    const guessed = await testApi({ guesses: { burst: 3, refillMs: 60_000 } });
    try {
      const wrong = async (): Promise<unknown> => {
        const token = guess(guessed);
        const { csr } = await newRequest();
        return guessed.client().enrol({ token, csr });
      };
      await guessed.enrol(orders);
      for (let i = 0; i < 3; i += 1) await assert.rejects(wrong(), { code: 'ERR_TOKEN_UNKNOWN' });
      await assert.rejects(wrong(), { code: 'ERR_API_GUESSES' });
      await assert.rejects(guessed.enrol(orders), { code: 'ERR_API_GUESSES' });
    } finally {
      await guessed.close();
    }
  });

  it('never logs a token', async () => {
    const { token } = await (await api.operator()).createToken({
      spiffeId: orders,
      dns: [],
      ip: [],
    });
    const text = formatEnrolRequest({ token, csr: new Uint8Array(3) });
    const headers = { 'content-type': 'application/json' };
    await exchange(api, { method: 'POST', path: '/v1/enrol', headers, body: text });
    await exchange(api, { method: 'POST', path: '/v1/enrol', headers, body: text.slice(0, -4) });
    const secret = Buffer.from(token.secret.reveal()).toString('base64url');
    assert.ok(!JSON.stringify(api.lines).includes(secret));
  });

  it('issues nothing where its port is taken, and says so once', async () => {
    const { authority, lines, server } = await testApi();
    const { issued } = await authority.ledger.status();
    const before = lines.length;
    await assert.rejects(testApi({ authority, port: server.port, log: noLog }), {
      code: 'ERR_LISTEN',
      message: `listen on "127.0.0.1:${server.port}": EADDRINUSE`,
    });
    assert.equal((await authority.ledger.status()).issued, issued);
    assert.equal(lines.length, before);
    await server.close(0);
    await authority.close();
  });

  it('opens its admin socket to its owner alone, and takes it away when it ends', async () => {
    const other = await testApi();
    assert.equal(statSync(other.server.adminSocket).mode & 0o777, 0o600);
    const { dataDir } = other;
    assert.ok(await adminClient(dataDir));
    await other.server.close(0);
    assert.equal(await adminClient(dataDir), undefined);
    await other.close();
  });
});

function guess(api: TestApi): JoinToken {
  const zeros = (size: number) => new Uint8Array(size);
  return createJoinToken(zeros, api.authority.rootFingerprint);
}
