import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, it } from 'node:test';
import { staticBundles } from '../sources.ts';
import type { PublicJwk, TrustBundle } from '../trust-bundle.ts';
import { type JwsAlgorithm, jwsAlgorithm, jwsAlgorithmOf } from './jws-algorithms.ts';
import { JwtSvid, readJwtSvid, verifyJwtSvid } from './jwt-svid.ts';

const at = Date.UTC(2026, 0, 1);
const sub = 'spiffe://example.org/a';
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const ec384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const ec521 = generateKeyPairSync('ec', { namedCurve: 'P-521' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwtKeys = [
  jwkOf('ec', ec.publicKey),
  jwkOf('ec384', ec384.publicKey),
  jwkOf('ec521', ec521.publicKey),
  jwkOf('rsa', rsa.publicKey),
];
const bundle: TrustBundle = { trustDomain: 'example.org', authorities: [], jwtKeys };
const bundles = staticBundles(bundle);
const good = { sub, aud: ['one', 'two'], exp: at / 1000 + 300, iat: at / 1000 };

const verified = (token: string, audience = ['two'], when = at) =>
  verifyJwtSvid({ token, audience, bundles, at: when });

describe('a JWT-SVID', () => {
  it('is proved with every algorithm that the standard allows', () => {
    const keys = { RS: rsa, PS: rsa, ES256: ec, ES384: ec384, ES512: ec521 } as const;
    const kids = { RS: 'rsa', PS: 'rsa', ES256: 'ec', ES384: 'ec384', ES512: 'ec521' } as const;
    for (const name of ['RS', 'PS', 'ES'].flatMap((kind) =>
      ['256', '384', '512'].map((bits) => kind + bits),
    )) {
      const slot = (name.startsWith('ES') ? name : name.slice(0, 2)) as keyof typeof keys;
      const answer = verified(token(good, { alg: name, kid: kids[slot] }, keys[slot].privateKey));
      assert.ok(answer.ok, name);
      assert.ok(JwtSvid.is(answer.svid));
      assert.equal(answer.svid.spiffeId.toString(), sub);
      assert.equal(answer.svid.claims.iat, good.iat);
    }
    assert.equal(jwsAlgorithmOf(ec384.publicKey)?.name, 'ES384');
  });

  it('takes one audience as a text too, and ends with its last second', () => {
    const one = token({ ...good, aud: 'one' });
    assert.ok(verified(one, ['one']).ok);
    assert.equal(codeOf(verified(one, ['two'])), 'ERR_JWT_AUDIENCE');
    assert.equal(codeOf(verified(one, ['one'], at + 300_000)), 'ERR_JWT_EXPIRED');
    assert.ok(verified(one, ['one'], at + 299_999).ok);
    assert.equal(codeOf(verified(one, [])), 'ERR_JWT_AUDIENCE');
  });

  it('is refused with another algorithm, none at all, or one that is not of its key', () => {
    for (const alg of ['none', 'HS256', 'EdDSA', 'es256', 256, undefined]) {
      const forged = `${part({ alg, kid: 'ec', typ: 'JWT' })}.${part(good)}.AAAA`;
      assert.equal(codeOf(verified(forged)), 'ERR_JWT_ALGORITHM', String(alg));
    }
    const crossed = token(good, { alg: 'ES256', kid: 'rsa' }, ec.privateKey);
    assert.equal(codeOf(verified(crossed)), 'ERR_JWT_ALGORITHM');
    const curve = token(good, { alg: 'ES256', kid: 'ec384' }, ec.privateKey);
    assert.equal(codeOf(verified(curve)), 'ERR_JWT_ALGORITHM');
  });

  it('is refused where a claim or header that it needs is missing or odd', () => {
    const payloads = [
      { ...good, sub: undefined },
      { ...good, sub: 'spiffe://example.org' },
      { ...good, sub: 'https://example.org/a' },
      { ...good, aud: undefined },
      { ...good, aud: [] },
      { ...good, aud: ['one', 7] },
      { ...good, exp: undefined },
      { ...good, exp: '1' },
    ];
    for (const payload of payloads) {
      assert.equal(codeOf(verified(token(payload))), 'ERR_JWT_FORM', JSON.stringify(payload));
    }
    for (const header of [
      { kid: undefined },
      { kid: 'ec', typ: 'at+jwt' },
      { kid: 'ec', crit: ['b64'] },
    ]) {
      const odd = token(good, { alg: 'ES256', ...header }, ec.privateKey);
      assert.equal(codeOf(verified(odd)), 'ERR_JWT_FORM', JSON.stringify(header));
    }
    for (const text of ['', 'a.b', 'a.b.c.d', `${part(good)}.${part(good)}.`, 'e30=.e30.AA']) {
      assert.equal(codeOf(verified(text)), 'ERR_JWT_FORM', text);
    }
    assert.equal(codeOf(verified('a'.repeat(40_000))), 'ERR_JWT_FORM');
  });

  it('is refused where any octet was changed, or another key made its signature', () => {
    const [head = '', body = '', tail = ''] = token(good).split('.');
    const other = part({ ...good, sub: 'spiffe://example.org/b' });
    assert.equal(codeOf(verified(`${head}.${other}.${tail}`)), 'ERR_JWT_SIGNATURE');
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
    assert.equal(codeOf(verified(token(good, undefined, stranger))), 'ERR_JWT_SIGNATURE');
    // Base64url has bits to spare at its end: another spelling of the same octets is refused too.
    const last = tail.at(-1) ?? '';
    const twin = String.fromCharCode(last.charCodeAt(0) + 1);
    assert.notEqual(codeOf(verified(`${head}.${body}.${tail.slice(0, -1)}${twin}`)), 'ok');
  });

  it('is proved by its own trust domain alone, by a key that is in its bundle', () => {
    const foreign = token({ ...good, sub: 'spiffe://other.org/a' });
    assert.equal(codeOf(verified(foreign)), 'ERR_JWT_TRUST_DOMAIN');
    const unknown = token(good, { alg: 'ES256', kid: 'gone' }, ec.privateKey);
    assert.equal(codeOf(verified(unknown)), 'ERR_JWT_KEY');
    const notYet = token({ ...good, nbf: at / 1000 + 120 });
    assert.equal(codeOf(verified(notYet)), 'ERR_JWT_NOT_YET_VALID');
  });

  it('is in no message, whatever is wrong with it', () => {
    const text = token({ ...good, aud: 'other' });
    const answer = verified(text);
    assert.ok(!answer.ok && !JSON.stringify(answer).includes(text.slice(-20)));
    const read = readJwtSvid(text);
    assert.ok(read.ok && read.token.expiresAt === good.exp * 1000);
  });
});

function codeOf(answer: { readonly ok: boolean; readonly code?: string }): string {
  return answer.ok ? 'ok' : (answer.code ?? '');
}

function token(
  payload: object,
  header: Readonly<Record<string, unknown>> = { alg: 'ES256', kid: 'ec', typ: 'JWT' },
  key: KeyObject = ec.privateKey,
): string {
  const signed = `${part(header)}.${part(payload)}`;
  const { hash, options } = jwsAlgorithm(header.alg) as JwsAlgorithm;
  return `${signed}.${sign(hash, Buffer.from(signed), { key, ...options }).toString('base64url')}`;
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

function jwkOf(kid: string, key: KeyObject): PublicJwk {
  return { ...(key.export({ format: 'jwk' }) as PublicJwk), kid };
}
