import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { parseCertificate, parseCrl, validatePath } from '@countersign/x509';
import { publishedAuthority } from '../../test/published-authority.ts';
import { slugOf } from './published-paths.ts';
import { RevokedTable } from './revoked-table.ts';

describe('what is published over plain http', () => {
  it('is the list that a certificate names, with a revocation on it in time', async () => {
    const published = await publishedAuthority({
      publish: '{ url: "http://pki.example.com", crl: { coalesce: 100ms } }',
    });
    const certificate = await published.issue();
    const path = `/crl/${slugOf('services', published.issuer)}.crl`;
    const list = async () => {
      for (let tries = 0; tries < 100; tries += 1) {
        const answer = await published.get(path);
        if (answer.status === 200) return parseCrl(answer.body);
        assert.equal(answer.status, 503);
        await wait(20);
      }
      assert.fail('no list');
    };
    const before = await list();
    const { root } = published.authority;
    const judge = async () =>
      validatePath({
        leaf: certificate,
        intermediates: [published.issuer],
        anchors: [root],
        at: Date.now(),
        crls: [
          await list(),
          parseCrl((await published.get(`/crl/${slugOf('root', root)}.crl`)).body),
        ],
      });
    const good = await judge();
    assert.ok(good.ok, good.ok ? '' : good.detail);
    await published.revoke(certificate);
    await wait(400);
    const after = await list();
    assert.ok(after.entries.has(certificate.serialHex));
    assert.ok((after.crlNumber ?? 0n) > (before.crlNumber ?? 0n));
    const revoked = await judge();
    assert.ok(!revoked.ok);
    await published.close();
  });

  it('has validators, answers what has not changed, and HEAD', async () => {
    const published = await publishedAuthority();
    const path = `/crl/${slugOf('services', published.issuer)}.crl`;
    await wait(100);
    const { status, headers, body } = await published.get(path);
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/pkix-crl');
    assert.equal(headers['cache-control'], 'public, max-age=60');
    const etag = String(headers.etag);
    assert.match(etag, /^"[0-9a-f]+-[0-9a-f]{8}"$/);
    const modified = String(headers['last-modified']);
    for (const condition of [
      { 'if-none-match': etag },
      { 'if-none-match': `W/${etag}` },
      { 'if-none-match': '*' },
      { 'if-modified-since': modified },
    ]) {
      const unchanged = await published.get(path, condition);
      assert.equal(unchanged.status, 304);
      assert.equal(unchanged.body.byteLength, 0);
      assert.equal(unchanged.headers.etag, etag);
    }
    const other = { 'if-none-match': '"other"', 'if-modified-since': modified };
    assert.equal((await published.get(path, other)).status, 200);
    const head = await published.send({ method: 'HEAD', path });
    assert.equal(head.headers['content-length'], String(body.byteLength));
    assert.equal(head.body.byteLength, 0);
    await published.close();
  });

  it('is the certificates of issuers, with and without the path of the address before it', async () => {
    const published = await publishedAuthority({
      publish: '{ url: "http://pki.example.com/pki" }',
    });
    for (const { name, certificate } of published.authority.publishers()) {
      for (const prefix of ['', '/pki']) {
        const answer = await published.get(`${prefix}/ca/${slugOf(name, certificate)}.cer`);
        assert.equal(answer.headers['content-type'], 'application/pkix-cert');
        assert.deepEqual(parseCertificate(answer.body).serialHex, certificate.serialHex);
      }
    }
    const missing = [
      '/x',
      '/crl/',
      '/crl/none-00000000.crl',
      '/crl/../ca',
      '/ca/x',
      '//',
      '/crl/%2e',
    ];
    for (const path of missing) assert.equal((await published.get(path)).status, 404, path);
    await published.close();
  });

  it('is the whole list for certificates that name one of another number of parts', async () => {
    const published = await publishedAuthority({
      publish: '{ url: "http://pki.example.com", crl: { shards: 4 } }',
    });
    const certificate = await published.issue();
    await published.revoke(certificate);
    const slug = slugOf('services', published.issuer);
    for (const path of [`/crl/${slug}.crl`, `/crl/${slug}/16/007.crl`]) {
      const answer = await published.get(path);
      const list = parseCrl(answer.body);
      assert.ok(list.entries.has(certificate.serialHex));
      assert.equal(list.issuingDistributionPoint, undefined);
    }
    assert.equal((await published.get(`/crl/${slug}/16/007-delta.crl`)).status, 404);
    await published.close();
  });

  it('is given to nobody whose request has no end', async () => {
    const published = await publishedAuthority();
    const socket = connect(Number(new URL(published.publishing.url).port), '127.0.0.1');
    socket.write(`GET /${'a'.repeat(20_000)} HTTP/1.1\r\nhost: a\r\n\r\n`);
    let answer = '';
    socket.on('data', (part) => {
      answer += part;
    });
    await new Promise((resolve) => socket.once('close', resolve));
    assert.match(answer, /^HTTP\/1\.1 431 /);
    await published.close();
  });
});

describe('a table of revoked certificates', () => {
  it('finds each among many, keeps the first, and knows no other', () => {
    const table = new RevokedTable();
    for (let i = 1; i <= 50_000; i += 1) {
      assert.ok(table.add(i * 3, i * 1000, i % 2 === 0 ? 'superseded' : 'keyCompromise'));
    }
    assert.equal(table.add(3, 5_000_000, 'unspecified'), false);
    assert.equal(table.add(2 ** 45 + 1, 7999, 'unspecified'), true);
    assert.equal(table.size, 50_001);
    for (let i = 1; i <= 50_000; i += 1) {
      assert.equal(table.get(i * 3)?.at, i * 1000);
      assert.equal(table.get(i * 3 + 1), undefined);
    }
    assert.deepEqual(table.get(2 ** 45 + 1), { at: 7000, reason: 'unspecified' });
  });
});
