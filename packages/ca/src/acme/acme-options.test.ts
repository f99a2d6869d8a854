import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { certificatesFromPem } from '@countersign/x509';
import { AcmeWorld, localhost } from '../../test/acme-under-test.ts';
import { request } from '../../test/authority-under-test.ts';
import { noTrials } from './acme-config.ts';

describe('the ACME edge, set otherwise', () => {
  let world: AcmeWorld;
  before(async () => {
    world = await AcmeWorld.start();
    await world.open({ path: '/timed', requestedValidity: true, reusePercent: 0 });
    await world.open({ path: '/strict', trials: { ...noTrials, isStrict: true } });
    const limits = { accountsPerHour: 1, ordersPerHour: 1, identifiers: 2 };
    await world.open({ path: '/limited', limits });
    await world.open({ path: '/paged', ordersPerPage: 2 });
    await world.open({ path: '/refusing', trials: { ...noTrials, nonceRejectPercent: 100 } });
  });
  after(() => world.end());

  const inHours = (hours: number) =>
    new Date(Math.trunc(Date.now() / 1000) * 1000 + hours * 3_600_000).toISOString();

  it('lets an order say when its certificate begins and ends, within the policy', async () => {
    const acme = await world.registered('/timed');
    const span = { notBefore: inHours(1), notAfter: inHours(3) };
    const { order } = await world.proved(acme, localhost, span);
    assert.deepEqual([order.notBefore, order.notAfter], [span.notBefore, span.notAfter]);
    const csr = await csrOf('localhost');
    const done = await acme.post(order.finalize, { csr });
    assert.equal(done.status, 200, done.text);
    const leaf = new X509Certificate((await acme.get(done.body.certificate)).text);
    assert.deepEqual(
      [leaf.validFromDate.toISOString(), leaf.validToDate.toISOString()],
      [span.notBefore, span.notAfter],
    );
    const long = await world.proved(acme, localhost, { notAfter: inHours(1000) });
    const refused = await acme.post(long.order.finalize, { csr });
    assert.deepEqual([refused.status, refused.body.type.split(':').at(-1)], [400, 'badCSR']);
  });

  it('lists orders in pages, and lets a certificate be replaced once', async () => {
    const acme = await world.registered('/paged');
    const { order } = await world.proved(acme);
    const done = await acme.post(order.finalize, { csr: await csrOf('localhost') });
    const [leaf] = certificatesFromPem((await acme.get(done.body.certificate)).text);
    // RFC 9773 §4.1
    const octets = [leaf?.authorityKeyId?.keyId, Buffer.from(leaf?.serialHex ?? '', 'hex')];
    const replaces = octets.map((each) => Buffer.from(each ?? []).toString('base64url')).join('.');
    const wanted = { identifiers: localhost, replaces };
    const first = await acme.post(acme.directory.newOrder, wanted);
    assert.deepEqual([first.status, first.body.replaces], [201, replaces]);
    const second = await acme.post(acme.directory.newOrder, wanted);
    assert.deepEqual([second.status, second.body.type.split(':').at(-1)], [409, 'alreadyReplaced']);
    await acme.post(acme.directory.newOrder, { identifiers: localhost });
    const page = await acme.get(`${acme.kid}/orders`);
    assert.equal(page.body.orders.length, 2);
    const links = [page.headers.link].flat().join();
    const [, next = ''] = /<([^>]*)>;rel="next"/.exec(links) ?? [];
    const last = await acme.get(next);
    assert.equal(last.body.orders.length, 1);
    assert.doesNotMatch([last.headers.link].flat().join(), /rel="next"/);
  });

  it('refuses spans that are none, and any where nothing says so', async () => {
    const wrong: readonly (readonly [object, RegExp])[] = [
      [{ notAfter: 'tomorrow' }, /"notAfter" is a time such as/],
      [{ notBefore: 7 }, /"notBefore" is a time such as/],
      [{ notAfter: inHours(-1) }, /it must be after/],
      [{ notBefore: inHours(3), notAfter: inHours(2) }, /it must be after/],
    ];
    const acme = await world.registered('/timed');
    for (const [span, detail] of wrong) {
      const order = { identifiers: localhost, ...span };
      const answer = await acme.post(acme.directory.newOrder, order);
      assert.equal(answer.status, 400);
      assert.match(answer.body.detail, detail);
    }
    const usual = await world.registered();
    const order = { identifiers: localhost, notAfter: inHours(1) };
    const answer = await usual.post(usual.directory.newOrder, order);
    assert.match(answer.body.detail, /"notAfter" is not taken/);
  });

  it('proves a name for every order where nothing is used again', async () => {
    const acme = await world.registered('/timed');
    await world.proved(acme);
    const again = await acme.post(acme.directory.newOrder, { identifiers: localhost });
    assert.equal(again.body.status, 'pending');
  });

  it('refuses what drafts had, where it is strict', async () => {
    const acme = await world.client('/strict');
    acme.userAgent = 'test';
    const terms = { termsOfServiceAgreed: true };
    const old = await acme.register({ resource: 'new-reg', ...terms });
    assert.match(old.body.detail, /"resource", which ACME has no more/);
    assert.equal((await acme.register(terms)).status, 201);
    const ordered = await acme.post(acme.directory.newOrder, { identifiers: localhost });
    const { body } = await acme.get(ordered.body.authorizations[0]);
    const [challenge] = body.challenges;
    const answer = await acme.post(challenge.url, { keyAuthorization: 'a.b' });
    assert.match(answer.body.detail, /is "\{\}", without members/);
    acme.userAgent = undefined;
    assert.match((await acme.get(acme.kid)).body.detail, /no User-Agent/);
  });

  it('refuses good nonces where it tries clients out', async () => {
    const acme = await world.client('/refusing');
    const answer = await acme.register();
    assert.deepEqual([answer.status, answer.body.type.split(':').at(-1)], [400, 'badNonce']);
  });

  it('says in seconds when who asks too often may come again', async () => {
    const acme = await world.registered('/limited');
    const second = await world.client('/limited');
    const order = { identifiers: localhost };
    assert.equal((await acme.post(acme.directory.newOrder, order)).status, 201);
    const late = [await acme.post(acme.directory.newOrder, order), await second.register()];
    for (const { status, body, headers } of late) {
      assert.deepEqual([status, body.type.split(':').at(-1)], [429, 'rateLimited']);
      const seconds = Number(headers['retry-after']);
      assert.ok(Number.isInteger(seconds) && seconds > 0 && seconds <= 3600, String(seconds));
    }
    const names = ['a.test', 'b.test', 'c.test'];
    const many = { identifiers: names.map((value) => ({ type: 'dns', value })) };
    assert.match(
      (await acme.post(acme.directory.newOrder, many)).body.detail,
      /3 identifiers .* 2 /,
    );
  });

  async function csrOf(value: string): Promise<string> {
    const csr = await request({ names: [{ kind: 'dns', value }] });
    return Buffer.from(csr).toString('base64url');
  }
});
