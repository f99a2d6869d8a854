import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { request } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { type AcmeClient, type Answered, newKey, signed } from '../../test/acme-client.ts';
import { AcmeWorld, localhost } from '../../test/acme-under-test.ts';

type Jws = Readonly<Record<string, unknown>>;

/** What a hostile client makes of a good request for an order, and what it hears. */
const broken: readonly (readonly [string, (jws: Jws) => unknown, string])[] = [
  ['no JSON', () => 'order-plz', 'malformed'],
  ['null', () => null, 'malformed'],
  ['a JWS without a signature', ({ signature: _, ...rest }) => rest, 'malformed'],
  ['an empty signature', (jws) => ({ ...jws, signature: '' }), 'malformed'],
  [
    'a signature cut short',
    (jws) => ({ ...jws, signature: String(jws.signature).slice(0, -4) }),
    'malformed',
  ],
  ['base64url with padding', (jws) => ({ ...jws, payload: `${jws.payload}==` }), 'malformed'],
  ['base64 of the other alphabet', (jws) => ({ ...jws, signature: '+/+/' }), 'malformed'],
  ['another payload under the signature', (jws) => ({ ...jws, payload: 'e30' }), 'malformed'],
  ['an unprotected header', (jws) => ({ ...jws, header: { alg: 'none' } }), 'malformed'],
  ['several signatures', (jws) => ({ ...jws, signatures: [jws] }), 'malformed'],
  ['a header that is no object', (jws) => ({ ...jws, protected: 'W10' }), 'malformed'],
  ['a header that is no UTF-8', (jws) => ({ ...jws, protected: '_w' }), 'malformed'],
];

/** Headers beside those of a good request. */
const headers: readonly (readonly [string, object, string])[] = [
  ['crit', { crit: ['exp'], exp: 1 }, 'malformed'],
  ['b64', { b64: false }, 'malformed'],
  ['no alg', { alg: undefined }, 'malformed'],
  ['an alg that is no text', { alg: ['ES256'] }, 'malformed'],
  ['alg "None"', { alg: 'None' }, 'badSignatureAlgorithm'],
  ['an algorithm of another curve', { alg: 'ES384' }, 'badSignatureAlgorithm'],
  ['an algorithm of another kind of key', { alg: 'RS256' }, 'badSignatureAlgorithm'],
  ['an algorithm that everything has', { alg: 'constructor' }, 'badSignatureAlgorithm'],
  ['no url', { url: undefined }, 'malformed'],
  ['the url of plain HTTP', { url: 'http://127.0.0.1/acme/new-order' }, 'unauthorized'],
  ['no nonce', { nonce: undefined }, 'badNonce'],
  ['an empty nonce', { nonce: '' }, 'badNonce'],
  ['neither account nor key', { kid: undefined }, 'malformed'],
  ['an account elsewhere', { kid: 'https://elsewhere.test/acme/account/a' }, 'malformed'],
  ['an account that climbs', { kid: 'https://127.0.0.1/acme/account/../x' }, 'malformed'],
];

/** Keys that sign for themselves. */
const keys: readonly (readonly [string, (own: object) => unknown, string])[] = [
  ['a symmetric key', () => ({ kty: 'oct', k: 'AAAA' }), 'badPublicKey'],
  ['a key with its private part', (own) => ({ ...own, d: 'AAAA' }), 'badPublicKey'],
  ['a point that is not on the curve', (own) => ({ ...own, x: 'A'.repeat(43) }), 'badPublicKey'],
  ['a curve that is not taken', (own) => ({ ...own, crv: 'secp256k1' }), 'badPublicKey'],
  ['a kind that everything has', () => ({ kty: 'constructor' }), 'badPublicKey'],
  ['no key', () => 'key', 'badPublicKey'],
  [
    'an exponent without end',
    () => ({ kty: 'RSA', n: 'A'.repeat(2000), e: 'AQAB' }),
    'badPublicKey',
  ],
];

describe('hostile requests to the ACME edge', () => {
  let world: AcmeWorld;
  let acme: AcmeClient;
  before(async () => {
    world = await AcmeWorld.start();
    acme = await world.registered();
  });
  after(() => world.end());

  async function good(): Promise<Jws> {
    const url = acme.directory.newOrder;
    const header = { alg: 'ES256', nonce: await acme.nonce(), url, kid: acme.kid };
    return signed(acme.key, header, { identifiers: localhost }) as Jws;
  }

  function expectRefusal({ status, body, text }: Answered, type: string): void {
    assert.ok(status >= 400 && status < 500, `${status} ${text}`);
    assert.equal(body?.type, `urn:ietf:params:acme:error:${type}`, text);
  }

  it('are each refused for what is broken in the JWS', async () => {
    for (const [what, spoil, type] of broken) {
      const answer = await acme.send(acme.directory.newOrder, spoil(await good()));
      assert.ok(answer.body, what);
      expectRefusal(answer, type);
    }
    assert.equal((await acme.send(acme.directory.newOrder, await good())).status, 201);
  });

  it('are each refused for what their header says', async () => {
    for (const [, header, type] of headers) {
      const order = { identifiers: localhost };
      expectRefusal(await acme.post(acme.directory.newOrder, order, { header }), type);
    }
  });

  it('are each refused for a key that is none', async () => {
    for (const [, spoil, type] of keys) {
      const header = { jwk: spoil(acme.jwk) };
      const terms = { termsOfServiceAgreed: true };
      const answer = await acme.post(acme.directory.newAccount, terms, { jwk: true, header });
      expectRefusal(answer, type);
    }
  });

  it('prove nothing by the key of somebody else', async () => {
    const other = newKey();
    const order = { identifiers: localhost };
    const url = acme.directory.newOrder;
    const header = { alg: 'ES256', nonce: await acme.nonce(), url, kid: acme.kid };
    expectRefusal(await acme.send(url, signed(other, header, order)), 'malformed');
    // one nonce serves once, whoever tries it again, and though the signature was wrong
    const second = await world.registered();
    const spent = { header: { nonce: header.nonce } };
    expectRefusal(await acme.post(url, order, spent), 'badNonce');
    const nonce = await acme.nonce();
    assert.equal((await acme.post(url, order, { header: { nonce } })).status, 201);
    expectRefusal(await second.post(url, order, { header: { nonce } }), 'badNonce');
  });

  it('are read no further than they may be long', async () => {
    const { url } = { url: new URL(acme.directory.newOrder) };
    const type = 'application/jose+json';
    const part = Buffer.alloc(64 * 1024, 0x20);
    for (const announced of [true, false]) {
      const size = 10 * 1024 * 1024;
      let sent = 0;
      const status = await new Promise<number | undefined>((resolve) => {
        const headers = { 'content-type': type, ...(announced && { 'content-length': size }) };
        const target = { host: '127.0.0.1', port: world.port, path: url.pathname, agent: false };
        const asked = request({ ...target, method: 'POST', headers });
        asked.once('response', (answer) => {
          answer.resume();
          resolve(answer.statusCode);
          asked.destroy();
        });
        asked.on('error', () => resolve(undefined));
        const write = () => {
          if (asked.destroyed || sent >= size) return;
          sent += part.byteLength;
          asked.write(part, write);
        };
        write();
      });
      // The connection may break before the answer is read: then nothing was read of it either.
      assert.ok(status === 413 || status === undefined, String(status));
      assert.ok(sent < size, `${sent} octets were taken`);
    }
  });

  it('leave nothing issued behind', async () => {
    assert.deepEqual(await world.authority.ledger.findCertificates({ provisioner: 'acme' }), []);
  });
});

describe('keys of accounts', () => {
  let world: AcmeWorld;
  before(async () => {
    world = await AcmeWorld.start();
  });
  after(() => world.end());

  const pair = (curve: string) => generateKeyPairSync('ec', { namedCurve: curve }).privateKey;
  const kinds: Readonly<Record<string, readonly [() => KeyObject, string | null]>> = {
    ES384: [() => pair('secp384r1'), 'sha384'],
    ES512: [() => pair('secp521r1'), 'sha512'],
    EdDSA: [() => generateKeyPairSync('ed25519').privateKey, null],
    RS256: [() => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey, 'sha256'],
  };
  for (const [alg, [make, digest]] of Object.entries(kinds)) {
    it(`may be those of ${alg}`, async () => {
      const acme = await world.client();
      const key = make();
      const {
        d: _,
        p: __,
        q: ___,
        dp: ____,
        dq: _____,
        qi: ______,
        ...jwk
      } = key.export({ format: 'jwk' });
      const url = acme.directory.newAccount;
      const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
      const head = encode({ alg, nonce: await acme.nonce(), url, jwk });
      const payload = encode({ termsOfServiceAgreed: true });
      const input = Buffer.from(`${head}.${payload}`);
      const dsa = key.asymmetricKeyType === 'ec' ? ({ dsaEncoding: 'ieee-p1363' } as const) : {};
      const signature = sign(digest, input, { key, ...dsa }).toString('base64url');
      const answer = await acme.send(url, { protected: head, payload, signature });
      assert.equal(answer.status, 201, answer.text);
    });
  }
});
