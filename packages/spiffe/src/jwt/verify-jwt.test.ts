import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { describe, it } from 'node:test';
import { keysOfJwks, keysOfPem, type VerifyingKey } from './jwks.ts';
import { readJwt } from './read-jwt.ts';
import { hasKeyFor, type JwtDemand, VerifiedJwt, verifyJwt } from './verify-jwt.ts';

const own = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const at = Date.UTC(2026, 0, 1);
const claims = {
  iss: 'https://issuer.example',
  sub: 'ci',
  aud: ['us', 'them'],
  exp: at / 1000 + 60,
};
const keys: readonly VerifyingKey[] = [{ keyId: 'one', key: own.publicKey }];

describe('tokens of other issuers', () => {
  it('are verified by a key of the set, for now and for us', () => {
    const demand = { keys, at, issuer: claims.iss, audiences: ['us'] };
    const verified = verify(token(claims), demand);
    assert.ok(verified.ok && VerifiedJwt.is(verified.jwt));
    assert.equal(verified.jwt.claims.sub, 'ci');
    assert.throws(() => new VerifiedJwt(Symbol('x') as never, claims), TypeError);
    const without = token(claims, { kid: undefined });
    assert.ok(verify(without, demand).ok);
  });

  it('may be signed with Ed25519, by keys for that algorithm, and be without an end where that is said', () => {
    const pair = generateKeyPairSync('ed25519');
    const [head, body] = [
      { alg: 'EdDSA', kid: 'ed' },
      { iss: claims.iss, sub: 'ci' },
    ].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'));
    const signature = sign(null, Buffer.from(`${head}.${body}`), pair.privateKey);
    const text = `${head}.${body}.${signature.toString('base64url')}`;
    const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'ed' };
    const of = (more: object) => keysOfJwks(JSON.stringify({ keys: [{ ...jwk, ...more }] }));
    const code = (given: readonly VerifyingKey[], takesEndless: boolean) => {
      const answer = verify(text, { keys: given, at, takesEndless });
      return answer.ok ? 'verified' : answer.code;
    };
    assert.equal(code(of({}), true), 'verified');
    assert.equal(code(of({ alg: 'EdDSA' }), true), 'verified');
    assert.equal(code(of({ alg: 'ES256' }), true), 'ERR_JWT_KEY');
    assert.equal(code(of({}), false), 'ERR_JWT_FORM');
  });

  const refusals: readonly (readonly [string, string, Partial<JwtDemand>, string])[] = [
    [
      'another key',
      token(claims, { key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey }),
      {},
      'ERR_JWT_SIGNATURE',
    ],
    ['an unknown key id', token(claims, { kid: 'two' }), {}, 'ERR_JWT_KEY'],
    ['a key of another kind', token(claims, { alg: 'RS256' }), {}, 'ERR_JWT_KEY'],
    ['no algorithm', token(claims, { alg: 'none' }), {}, 'ERR_JWT_ALGORITHM'],
    ['a symmetric algorithm', token(claims, { alg: 'HS256' }), {}, 'ERR_JWT_ALGORITHM'],
    ['something critical', token(claims, { crit: ['x'] }), {}, 'ERR_JWT_FORM'],
    ['no end', token({ ...claims, exp: undefined }), {}, 'ERR_JWT_FORM'],
    ['its end behind it', token({ ...claims, exp: at / 1000 - 61 }), {}, 'ERR_JWT_EXPIRED'],
    [
      'its beginning before it',
      token({ ...claims, nbf: at / 1000 + 61 }),
      {},
      'ERR_JWT_NOT_YET_VALID',
    ],
    ['another issuer', token({ ...claims, iss: 'https://other.example' }), {}, 'ERR_JWT_FORM'],
    ['another audience', token({ ...claims, aud: 'them' }), {}, 'ERR_JWT_AUDIENCE'],
    ['an audience where none is wanted', token(claims), { audiences: [] }, 'ERR_JWT_AUDIENCE'],
    ['two parts', 'a.b', {}, 'ERR_JWT_FORM'],
    ['padding', token(claims).replace('.', '=.'), {}, 'ERR_JWT_FORM'],
    ['forty thousand characters', 'a'.repeat(40_000), {}, 'ERR_JWT_FORM'],
  ];
  for (const [what, text, demand, code] of refusals) {
    it(`are refused with ${what}`, () => {
      const answer = verify(text, { keys, at, issuer: claims.iss, audiences: ['us'], ...demand });
      assert.equal(answer.ok ? 'verified' : answer.code, code);
    });
  }

  it('are verified by sets of keys that hold what they should not, without it', () => {
    const jwks = (...all: object[]) => keysOfJwks(JSON.stringify({ keys: all }));
    const jwk = own.publicKey.export({ format: 'jwk' });
    const found = jwks(
      { ...jwk, kid: 'one' },
      { kty: 'oct', k: 'AAAA' },
      { kty: 'EC', x: 'bad' },
      { ...jwk, use: 'enc' },
      rsa.publicKey.export({ format: 'jwk' }),
    );
    assert.deepEqual(
      found.map(({ keyId }) => keyId),
      ['one', undefined],
    );
    const read = readJwt(token(claims));
    assert.ok(
      read.ok && hasKeyFor(read, found) && !hasKeyFor(read, keysOfPem([pem(rsa.publicKey)])),
    );
    for (const text of ['{}', '[', '{"keys":[{"kty":"oct","k":"AAAA"}]}', 'null']) {
      assert.throws(() => keysOfJwks(text), { code: 'ERR_JWT_KEYS' });
    }
    const secret = String(own.privateKey.export({ format: 'pem', type: 'pkcs8' }));
    assert.throws(() => keysOfPem([secret]), { code: 'ERR_JWT_KEYS', message: /private key/ });
  });
});

function verify(text: string, demand: JwtDemand) {
  const read = readJwt(text);
  return read.ok ? verifyJwt(read, demand) : read;
}

function token(
  body: object,
  more: { key?: KeyObject; kid?: string | undefined; alg?: string; crit?: string[] } = {},
): string {
  const {
    key = own.privateKey,
    kid = 'kid' in more ? undefined : 'one',
    alg = 'ES256',
    crit,
  } = more;
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg, kid, crit })}.${part(body)}`;
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' });
  return `${signed}.${signature.toString('base64url')}`;
}

function pem(key: KeyObject): string {
  return String(key.export({ format: 'pem', type: 'spki' }));
}
