import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { testCa } from '@countersign/testkit';
import {
  buildOcspRequest,
  type Certificate,
  certIdOf,
  checkOcspResponse,
  encodeOcspGetPath,
  extension,
  findExtension,
  type OcspHash,
  oids,
  parseOcspResponse,
} from '@countersign/x509';
import {
  type HttpAnswer,
  type PublishedAuthority,
  publishedAuthority,
} from '../../../test/published-authority.ts';
import { PublishMetrics } from '../publish-metrics.ts';
import { RevokedIndex } from '../revoked-index.ts';
import { OcspDesk } from './ocsp-desk.ts';

const nonce = new Uint8Array(32).fill(7);

function ask(
  published: PublishedAuthority,
  certificates: readonly Certificate[],
  options: {
    readonly by?: 'GET' | 'POST';
    readonly hash?: OcspHash;
    readonly nonce?: Uint8Array;
    readonly issuer?: Certificate;
  } = {},
): Promise<HttpAnswer> {
  const { by = 'GET', hash = 'sha256', issuer = published.issuer } = options;
  const certIds = certificates.map((each) => certIdOf(each, issuer, hash));
  const request = buildOcspRequest({ certIds, nonce: options.nonce });
  if (by === 'GET') return published.get(`/ocsp/${encodeOcspGetPath(request)}`);
  const headers = { 'content-type': 'application/ocsp-request' };
  return published.send({ method: 'POST', path: '/ocsp', headers, body: request });
}

/** The answer's word about a certificate, once its signature, signer, times and nonce were checked. */
function verdict(
  published: PublishedAuthority,
  answer: HttpAnswer,
  certificate: Certificate,
  about: { readonly nonce?: Uint8Array; readonly issuer?: Certificate } = {},
) {
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-type'], 'application/ocsp-response');
  const { issuer = published.issuer } = about;
  const checked = checkOcspResponse(parseOcspResponse(answer.body), {
    certificate,
    issuer,
    at: systemClock.now(),
    ...(about.nonce === undefined ? {} : { nonce: about.nonce }),
  });
  assert.ok(checked.ok, checked.ok ? '' : checked.detail);
  return checked;
}

describe('ocsp', () => {
  for (const by of ['GET', 'POST'] as const) {
    for (const hash of ['sha1', 'sha256', 'sha384', 'sha512'] as const) {
      it(`says good, then revoked and why, by ${by} and ${hash}`, async () => {
        const published = await publishedAuthority();
        const certificate = await published.issue();
        for (let times = 0; times < 3; times += 1) {
          const answer = await ask(published, [certificate], { by, hash });
          assert.equal(verdict(published, answer, certificate).status, 'good');
        }
        await published.revoke(certificate);
        for (let times = 0; times < 3; times += 1) {
          const answer = await ask(published, [certificate], { by, hash });
          const revoked = verdict(published, answer, certificate);
          assert.ok(revoked.status === 'revoked');
          assert.equal(revoked.reason, 'keyCompromise');
        }
        await published.close();
      });
    }
  }

  it('says that a certificate is on hold, and good again once it is released', async () => {
    const published = await publishedAuthority();
    const certificate = await published.issue('spiffe://example.com/ns/prod/sa/held');
    const order = { by: 'serial', value: certificate.serialHex, waitMs: 0 } as const;
    const said: string[] = [];
    for (const reason of ['certificateHold', 'removeFromCRL', 'certificateHold'] as const) {
      await published.authority.revoke({ ...order, reason }, { kind: 'operator' });
      const answer = verdict(published, await ask(published, [certificate]), certificate);
      said.push(answer.status === 'revoked' ? String(answer.reason) : answer.status);
    }
    assert.deepEqual(said, ['certificateHold', 'good', 'certificateHold']);
    await published.close();
  });

  it('never answers good once revoke has resolved, whatever it covers', async () => {
    const published = await publishedAuthority();
    for (let i = 0; i < 20; i += 1) {
      const spiffeId = `spiffe://example.com/ns/prod/sa/s${i}`;
      const certificate = await published.issue(spiffeId);
      const before = await ask(published, [certificate]);
      assert.equal(verdict(published, before, certificate).status, 'good');
      const order = { by: 'spiffe-id', value: spiffeId, reason: 'superseded', waitMs: 0 } as const;
      await published.authority.revoke(order, { kind: 'operator' });
      const after = await ask(published, [certificate]);
      assert.equal(verdict(published, after, certificate).status, 'revoked');
      const renewed = await published.issue(spiffeId);
      const other = await ask(published, [renewed]);
      assert.equal(verdict(published, other, renewed).status, 'good');
    }
    await published.close();
  });

  it('repeats a nonce, and lets nobody keep such an answer', async () => {
    const published = await publishedAuthority();
    const certificate = await published.issue();
    const answer = await ask(published, [certificate], { nonce });
    assert.equal(verdict(published, answer, certificate, { nonce }).status, 'good');
    assert.equal(answer.headers['cache-control'], 'no-store');
    const plain = await ask(published, [certificate]);
    assert.equal(parseOcspResponse(plain.body).basic?.nonce, undefined);
    await published.close();
  });

  it('answers about several at once, also about what it does not know', async () => {
    const published = await publishedAuthority();
    const [one, two] = [await published.issue(), await published.issue()];
    await published.revoke(two);
    const stranger = testCa().leaf().certificate;
    const answer = await ask(published, [one, two, stranger], { nonce });
    assert.equal(verdict(published, answer, one, { nonce }).status, 'good');
    assert.equal(verdict(published, answer, two, { nonce }).status, 'revoked');
    const words = parseOcspResponse(answer.body).basic?.responses.map(
      ({ status }) => status.status,
    );
    assert.deepEqual(words, ['good', 'revoked', 'unknown']);
    await published.close();
  });

  it('says unknown of a serial number that was never ordered, and of one of another issuer', async () => {
    const published = await publishedAuthority();
    const certificate = await published.issue();
    const forged = {
      ...certificate,
      serial: certificate.serial.map((octet, i) => (i > 9 ? 1 : octet)),
    };
    const answer = await ask(published, [forged]);
    assert.equal(parseOcspResponse(answer.body).basic?.responses[0]?.status.status, 'unknown');
    assert.equal(answer.headers['cache-control'], 'no-store');
    const other = published.authority.publishers().find(({ name }) => name === 'other');
    assert.ok(other);
    const wrong = await ask(published, [certificate], { issuer: other.certificate });
    assert.equal(parseOcspResponse(wrong.body).basic?.responses[0]?.status.status, 'unknown');
    await published.close();
  });

  it('answers for the root about intermediates', async () => {
    const published = await publishedAuthority();
    const { root } = published.authority;
    const answer = await ask(published, [published.issuer], { issuer: root });
    assert.equal(verdict(published, answer, published.issuer, { issuer: root }).status, 'good');
    await published.revoke(published.issuer);
    const after = await ask(published, [published.issuer], { issuer: root });
    assert.equal(verdict(published, after, published.issuer, { issuer: root }).status, 'revoked');
    await published.close();
  });

  it('is signed by a delegate made for it, which nobody need ask about', async () => {
    const published = await publishedAuthority();
    const certificate = await published.issue();
    const { delegate } = verdict(published, await ask(published, [certificate]), certificate);
    assert.ok(delegate);
    assert.deepEqual(delegate.extKeyUsage, ['OCSPSigning']);
    assert.ok(findExtension(delegate.extensions, oids.ocspNoCheck));
    assert.ok(delegate.notAfter - delegate.notBefore > 7 * 86_400_000 - 1000);
    const recorded = await published.authority.ledger.certificate(delegate.serialHex);
    assert.equal(recorded?.provisioner, 'ocsp');
    await published.close();
  });

  it('can be kept by caches as long as it is good, and answers that it has not changed', async () => {
    const published = await publishedAuthority();
    const certificate = await published.issue();
    const path = `/ocsp/${encodeOcspGetPath(buildOcspRequest({ certIds: [certIdOf(certificate, published.issuer, 'sha1')] }))}`;
    const answer = await published.get(path);
    const { headers, body } = answer;
    const age = Number(
      /^max-age=(\d+), public, no-transform, must-revalidate$/.exec(
        String(headers['cache-control']),
      )?.[1],
    );
    assert.ok(age > 3590 && age <= 3600, `${age}`);
    const nextUpdate = parseOcspResponse(body).basic?.responses[0]?.nextUpdate;
    assert.equal(Date.parse(String(headers.expires)), nextUpdate);
    const etag = String(headers.etag);
    const unchanged = await published.get(path, { 'if-none-match': `"other", ${etag}` });
    assert.equal(unchanged.status, 304);
    assert.equal(unchanged.body.byteLength, 0);
    const head = await published.send({ method: 'HEAD', path });
    assert.equal(head.status, 200);
    assert.equal(head.headers['content-length'], String(body.byteLength));
    assert.equal(head.body.byteLength, 0);
    await published.close();
  });

  it('takes what clients write in a path: escaped or not', async () => {
    const published = await publishedAuthority();
    const certificate = await published.issue();
    const certIds = [certIdOf(certificate, published.issuer, 'sha1')];
    const base64 = Buffer.from(buildOcspRequest({ certIds })).toString('base64');
    for (const path of [base64, encodeURIComponent(base64), base64.replaceAll('=', '%3d')]) {
      const answer = await published.get(`/ocsp/${path}`);
      assert.equal(verdict(published, answer, certificate).status, 'good', path);
    }
    await published.close();
  });

  it('says what is wrong with a request in the words of the protocol', async () => {
    const published = await publishedAuthority();
    const certificate = await published.issue();
    const statusOf = (answer: HttpAnswer): string => {
      assert.equal(answer.status, 200);
      assert.equal(answer.headers['cache-control'], 'no-store');
      return parseOcspResponse(answer.body).status;
    };
    const type = { 'content-type': 'application/ocsp-request' };
    const post = (body: Uint8Array) =>
      published.send({ method: 'POST', path: '/ocsp', headers: type, body });
    assert.equal(statusOf(await post(Buffer.from('no DER'))), 'malformedRequest');
    assert.equal(statusOf(await post(new Uint8Array())), 'malformedRequest');
    assert.equal(statusOf(await published.get('/ocsp/%%%')), 'malformedRequest');
    assert.equal(statusOf(await published.get('/ocsp/AAAA')), 'malformedRequest');
    const stranger = testCa();
    const foreign = await ask(published, [certificate], { issuer: stranger.certificate });
    assert.equal(statusOf(foreign), 'unauthorized');
    const certIds = [certIdOf(certificate, published.issuer)];
    const critical = extension.other('1.2.3.4', true, new Uint8Array([5, 0]));
    assert.equal(
      statusOf(await post(buildOcspRequest({ certIds, extensions: [critical] }))),
      'malformedRequest',
    );
    await published.close();
  });

  it('refuses what is no request over HTTP', async () => {
    const published = await publishedAuthority();
    const type = { 'content-type': 'application/ocsp-request' };
    const large = new Uint8Array(25 * 1024);
    const post = { method: 'POST', path: '/ocsp' };
    assert.equal((await published.send({ ...post, headers: type, body: large })).status, 413);
    assert.equal((await published.send({ ...post, body: Buffer.from('x') })).status, 415);
    assert.equal((await published.get('/ocsp')).status, 405);
    assert.equal(
      (await published.send({ method: 'PUT', path: '/ocsp', headers: type })).status,
      405,
    );
    assert.equal(
      (await published.send({ method: 'POST', path: '/crl', headers: type })).status,
      405,
    );
    assert.equal((await published.get('/')).status, 200);
    await published.close();
  });

  it('says of what was archived what the ledger says, also after a restart', async () => {
    let later = 0;
    const clock = { ...systemClock, now: () => systemClock.now() + later };
    const { authority, close, issue, revoke, issuer } = await publishedAuthority({ clock });
    const { ledger } = authority;
    const [revoked, kept] = [await issue(), await issue()];
    await revoke(revoked);
    // The newest revocation is never archived.
    await revoke(await issue());
    later = 30 * 86_400_000;
    const endedBefore = clock.now() - 86_400_000;
    const archive = { endedBefore, limit: 1000, holder: 'test', holdMs: 1000 };
    for (let next = 'more'; next === 'more'; ) ({ next } = await ledger.archiveEnded(archive));
    assert.equal((await ledger.retention())?.revocations, 1);
    const index = new RevokedIndex({ ledger, clock, log: noLog, onRevoked() {} });
    await index.loaded;
    const desk = new OcspDesk({
      ...{ issuers: authority.publishers(), ledger, index, clock, log: noLog },
      ...{
        config: { validityMs: 60_000, responderMs: 600_000 },
        metrics: new PublishMetrics(noMeter),
      },
    });
    const said: string[] = [];
    for (const certificate of [revoked, kept, revoked]) {
      const request = buildOcspRequest({ certIds: [certIdOf(certificate, issuer)] });
      const { body } = await desk.answer(request, certificate.serialHex);
      const parsed = parseOcspResponse(body);
      assert.ok(parsed.status === 'successful');
      said.push(...parsed.basic.responses.map(({ status }) => status.status));
    }
    assert.deepEqual(said, ['revoked', 'good', 'revoked']);
    await index.stop();
    await close();
  });

  it('says to try later what it has no time for', async () => {
    const { authority, publishing, close, issue, issuer } = await publishedAuthority();
    const index = new RevokedIndex({
      ledger: authority.ledger,
      clock: systemClock,
      log: noLog,
      onRevoked() {},
    });
    const config = { validityMs: 60_000, responderMs: 600_000 };
    const desk = new OcspDesk({
      issuers: authority.publishers(),
      ledger: authority.ledger,
      index,
      config,
      clock: systemClock,
      log: noLog,
      metrics: new PublishMetrics(noMeter),
      mostUnderWay: 10,
    });
    const certificate = await issue();
    const request = buildOcspRequest({ certIds: [certIdOf(certificate, issuer)], nonce });
    const replies = await Promise.all(Array.from({ length: 40 }, () => desk.answer(request, 'a')));
    const words = replies.map(({ body }) => parseOcspResponse(body).status);
    assert.equal(words.filter((word) => word === 'successful').length, 10);
    assert.equal(words.filter((word) => word === 'tryLater').length, 30);
    const again = await desk.answer(request, 'a');
    assert.equal(parseOcspResponse(again.body).status, 'successful');
    await index.stop();
    await close();
    void publishing;
  });
});
