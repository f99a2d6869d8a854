import assert from 'node:assert/strict';
import { generateKeyPairSync, hash, X509Certificate } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { type GeneralName, parseIpAddress } from '@countersign/x509';
import { bindingOf, newKey, publicJwk, send, signed } from '../../test/acme-client.ts';
import { AcmeWorld, externalKey, localhost } from '../../test/acme-under-test.ts';
import { request } from '../../test/authority-under-test.ts';
import { certificateIdOf } from './renewal-info.ts';

describe('the ACME edge', () => {
  let world: AcmeWorld;
  before(async () => {
    world = await AcmeWorld.start();
  });
  after(() => world.end());

  async function csrOf(names: readonly GeneralName[]): Promise<string> {
    return Buffer.from(await request({ names })).toString('base64url');
  }

  it('issues to whoever proves a name and an address, by the flow that issues everything', async () => {
    const acme = await world.registered();
    const identifiers = [...localhost, { type: 'ip', value: '127.0.0.1' }];
    const { url, order } = await world.proved(acme, identifiers);
    const csr = await csrOf([
      { kind: 'dns', value: 'localhost' },
      { kind: 'ip', bytes: parseIpAddress('127.0.0.1') ?? new Uint8Array() },
    ]);
    const done = await acme.post(order.finalize, { csr });
    assert.deepEqual([done.status, done.body.status], [200, 'valid'], done.text);
    assert.equal(done.headers.location, url);
    const chain = await acme.get(done.body.certificate);
    assert.equal(chain.headers['content-type'], 'application/pem-certificate-chain');
    const [leaf = '', issuer = ''] = chain.text.split(/(?<=-----END CERTIFICATE-----\n)/);
    const certificate = new X509Certificate(leaf);
    assert.equal(certificate.subjectAltName, 'DNS:localhost, IP Address:127.0.0.1');
    assert.ok(certificate.verify(new X509Certificate(issuer).publicKey));

    const [kept] = await world.authority.ledger.findCertificates({ provisioner: 'acme' });
    assert.equal(kept?.grantedBy, `acme order ${url.split('/').at(-1)}`);
    const rows = await world.authority.ledger.auditAfter(0, 1000);
    assert.ok(
      rows.some(({ said }) => JSON.parse(said).by === `acme:${acme.kid.split('/').at(-1)}`),
    );

    // the same names again: what was proved is not proved again
    const again = await acme.post(acme.directory.newOrder, { identifiers });
    assert.equal(again.body.status, 'ready');
    const list = await acme.get(`${acme.kid}/orders`);
    assert.equal(list.body.orders.length, 2);
  });

  it('tells why a name is not proved, and ends the order', async () => {
    const acme = await world.registered();
    const ordered = await acme.post(acme.directory.newOrder, { identifiers: localhost });
    const other = await csrOf([{ kind: 'dns', value: 'other.test' }]);
    for (const csr of [other, 'AAAA']) {
      const early = await acme.post(ordered.body.finalize, { csr });
      assert.deepEqual([early.status, early.body.type.split(':').at(-1)], [403, 'orderNotReady']);
    }
    const [url] = ordered.body.authorizations;
    const { body } = await acme.get(url);
    const challenge = body.challenges.find((each: { type: string }) => each.type === 'http-01');
    world.pages.set(`/.well-known/acme-challenge/${challenge.token}`, 'something else');
    await acme.post(challenge.url, {});
    const ended = await acme.until(url, (each) => each.status !== 'pending');
    assert.equal(ended.status, 'invalid');
    const failed = ended.challenges.find((each: { error?: object }) => each.error !== undefined);
    assert.equal(failed.error.type, 'urn:ietf:params:acme:error:unauthorized');
    assert.match(failed.error.detail, /answered "something else", expected ".+\..+"/);
    const order = await acme.get(String(ordered.headers.location));
    assert.equal(order.body.status, 'invalid');
    assert.equal(order.body.error.subproblems[0].identifier.value, 'localhost');
    const late = await acme.post(ordered.body.finalize, {
      csr: await csrOf([{ kind: 'dns', value: 'localhost' }]),
    });
    assert.deepEqual([late.status, late.body.type.split(':').at(-1)], [403, 'orderNotReady']);
  });

  it('follows a redirect to what may be asked, and none to what may not', async () => {
    const acme = await world.registered();
    const cases: readonly (readonly [string, RegExp])[] = [
      ['->http://10.0.0.1/', /no address that may be connected to/],
      ['->http://169.254.169.254/latest/', /no address that may be connected to/],
      ['->http://127.0.0.1:22/', /port 22 is not followed/],
      ['->ftp://127.0.0.1/', /http and https are followed/],
    ];
    for (const [page, detail] of cases) {
      const ordered = await acme.post(acme.directory.newOrder, { identifiers: localhost });
      const [url] = ordered.body.authorizations;
      const { body } = await acme.get(url);
      const challenge = body.challenges.find((each: { type: string }) => each.type === 'http-01');
      world.pages.set(`/.well-known/acme-challenge/${challenge.token}`, page);
      await acme.post(challenge.url, {});
      const ended = await acme.until(url, (each) => each.status !== 'pending');
      const failed = ended.challenges.find((each: { error?: object }) => each.error !== undefined);
      assert.match(failed.error.detail, detail);
    }
  });

  it('refuses a request for other names than the order has, and the key of the account', async () => {
    const acme = await world.registered();
    const { order } = await world.proved(acme);
    const wrong = [
      await csrOf([{ kind: 'dns', value: 'other.test' }]),
      await csrOf([
        { kind: 'dns', value: 'localhost' },
        { kind: 'dns', value: 'other.test' },
      ]),
      'AAAA',
    ];
    for (const csr of wrong) {
      const answer = await acme.post(order.finalize, { csr });
      assert.deepEqual([answer.status, answer.body.type.split(':').at(-1)], [400, 'badCSR']);
    }
    const good = await csrOf([{ kind: 'dns', value: 'localhost' }]);
    const both = await Promise.all([1, 2].map(() => acme.post(order.finalize, { csr: good })));
    assert.deepEqual(both.map(({ status }) => status).sort(), [200, 403]);
    const found = await world.authority.ledger.findCertificates({ provisioner: 'acme' });
    const evidence = `acme order ${String(order.finalize).split('/').at(-2)}`;
    assert.equal(found.filter(({ grantedBy }) => grantedBy === evidence).length, 1);
  });

  it('finds an account by its key, changes it, gives it another key, and ends it', async () => {
    const acme = await world.registered();
    const found = await acme.post(acme.directory.newAccount, {}, { jwk: true });
    assert.deepEqual([found.status, found.headers.location], [200, acme.kid]);
    const changed = await acme.post(acme.kid, { contact: ['mailto:ops@example.test'] });
    assert.deepEqual(changed.body.contact, ['mailto:ops@example.test']);
    const wrong = await acme.post(acme.kid, { contact: ['tel:+1'] });
    assert.match(wrong.body.type, /unsupportedContact$/);

    const next = newKey();
    const url = acme.directory.keyChange;
    const inner = signed(
      next,
      { alg: 'ES256', jwk: publicJwk(next), url },
      { account: acme.kid, oldKey: acme.jwk },
    );
    const rolled = await acme.post(url, inner);
    assert.equal(rolled.status, 200, rolled.text);
    assert.match((await acme.get(acme.kid)).body.type, /malformed$/);
    acme.key = next;
    assert.equal((await acme.get(acme.kid)).status, 200);
    const other = await world.registered();
    const taken = signed(
      next,
      { alg: 'ES256', jwk: publicJwk(next), url },
      { account: other.kid, oldKey: other.jwk },
    );
    const conflict = await other.post(url, taken);
    assert.deepEqual([conflict.status, conflict.headers.location], [409, acme.kid]);

    assert.equal((await acme.post(acme.kid, { status: 'deactivated' })).body.status, 'deactivated');
    assert.equal((await acme.get(acme.kid)).status, 403);
  });

  it('binds an account to an external one where that is required', async () => {
    const acme = await world.client('/bound');
    assert.equal(acme.directory.meta.externalAccountRequired, true);
    const url = acme.directory.newAccount;
    const terms = { termsOfServiceAgreed: true };
    assert.match((await acme.register(terms)).body.type, /externalAccountRequired$/);
    const wrong = [
      bindingOf(acme.jwk, url, 'kid-1', Buffer.alloc(32, 8)),
      bindingOf(acme.jwk, url, 'kid-2', externalKey),
      bindingOf(publicJwk(newKey()), url, 'kid-1', externalKey),
      bindingOf(acme.jwk, `${url}/`, 'kid-1', externalKey),
    ];
    for (const externalAccountBinding of wrong) {
      const refused = await acme.register({ ...terms, externalAccountBinding });
      assert.match(refused.body.type, /unauthorized$|malformed$/);
    }
    const externalAccountBinding = bindingOf(acme.jwk, url, 'kid-1', externalKey);
    const made = await acme.register({ ...terms, externalAccountBinding });
    assert.deepEqual(
      [made.status, made.body.externalAccountBinding],
      [201, externalAccountBinding],
    );
    const free = await world.client();
    const unbound = await free.register({ ...terms, externalAccountBinding: null });
    assert.deepEqual([unbound.status, 'externalAccountBinding' in unbound.body], [201, false]);
  });

  it('asks for the text at the label of the account, as the client knows its address', async () => {
    const acme = await world.client('/bound');
    const url = acme.directory.newAccount;
    const externalAccountBinding = bindingOf(acme.jwk, url, 'kid-1', externalKey);
    await acme.register({ termsOfServiceAgreed: true, externalAccountBinding });
    const asked = { identifiers: [{ type: 'dns', value: 'a.test' }], Profile: 'second' };
    const ordered = await acme.post(acme.directory.newOrder, asked);
    assert.equal(ordered.body.profile, 'second', ordered.text);
    const [authorization] = ordered.body.authorizations;
    const [challenge] = (await acme.get(authorization)).body.challenges;
    await acme.post(challenge.url, {});
    const ended = await acme.until(authorization, (each) => each.status !== 'pending');
    const [label = ''] = ended.challenges[0].error.detail.match(/(?<="_)[a-z2-7]{16}(?=\._acme-)/);
    const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
    const bits = [...label].map((each) => alphabet.indexOf(each).toString(2).padStart(5, '0'));
    const octets = bits.join('').match(/.{8}/g) ?? [];
    const found = Buffer.from(octets.map((each) => Number.parseInt(each, 2)));
    assert.deepEqual(found, hash('sha256', acme.kid, 'buffer').subarray(0, 10));
  });

  it('revokes for the account that ordered, for the key of the certificate, and for nobody else', async () => {
    const acme = await world.registered();
    const issue = async () => {
      const { order } = await world.proved(acme);
      const csr = await csrOf([{ kind: 'dns', value: 'localhost' }]);
      const done = await acme.post(order.finalize, { csr });
      const pem = (await acme.get(done.body.certificate)).text;
      const leaf = new X509Certificate(pem);
      return { leaf, certificate: leaf.raw.toString('base64url') };
    };
    const { leaf, certificate } = await issue();
    const url = acme.directory.revokeCert;
    const stranger = await world.registered();
    assert.match((await stranger.post(url, { certificate })).body.type, /unauthorized$/);
    assert.match(
      (await stranger.post(url, { certificate }, { jwk: true })).body.type,
      /unauthorized$/,
    );
    assert.match(
      (await acme.post(url, { certificate, reason: 7 })).body.type,
      /badRevocationReason$/,
    );
    assert.equal((await acme.post(url, { certificate, reason: 4 })).status, 200);
    assert.match((await acme.post(url, { certificate })).body.type, /alreadyRevoked$/);
    const status = await world.authority.ledger.certificateStatus(leaf.serialNumber.toLowerCase());
    assert.ok(status.status === 'revoked' && status.revocation.reason === 'superseded');
    assert.match(status.revocation.orderedBy, /^acme:/);

    const info = acme.directory.renewalInfo;
    const { pathname } = new URL(info);
    const id = certificateIdOf(leaf.raw);
    const advised = await send(world.port, 'GET', `${pathname}/${id}`);
    assert.ok(Date.parse(advised.body.suggestedWindow.end) < Date.now(), advised.text);
    assert.equal((await send(world.port, 'GET', `${pathname}/AAAA.AAAA`)).status, 404);
  });

  it('gives nonces and the directory to anybody', async () => {
    const head = await send(world.port, 'HEAD', '/acme/new-nonce');
    assert.deepEqual([head.status, head.headers['cache-control']], [200, 'no-store']);
    assert.equal((await send(world.port, 'GET', '/acme/new-nonce')).status, 204);
    const acme = await world.registered();
    assert.equal((await acme.get(acme.directory.newNonce)).status, 204);
    const missing = await send(world.port, 'POST', '/acme/nothing', '{}', 'application/jose+json');
    assert.equal(missing.status, 404);
    assert.ok(missing.headers['replay-nonce']);
    assert.equal((await send(world.port, 'GET', '/acme/new-order')).status, 405);
  });

  it('refuses an account whose key is weak', async () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
    const { e, kty, n } = weak.export({ format: 'jwk' });
    const acme = await world.client();
    const nonce = await acme.nonce();
    const url = acme.directory.newAccount;
    const head = { alg: 'RS256', nonce, url, jwk: { e, kty, n } };
    const refused = await acme.send(url, signed(newKey(), head, {}));
    assert.match(refused.body.type, /badPublicKey$/);
  });
});
