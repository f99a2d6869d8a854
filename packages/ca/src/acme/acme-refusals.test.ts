import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { AcmeClient, Answered } from '../../test/acme-client.ts';
import { AcmeWorld, localhost } from '../../test/acme-under-test.ts';

describe('the ACME edge in front of hostile or broken clients', () => {
  let world: AcmeWorld;
  before(async () => {
    world = await AcmeWorld.start();
  });
  after(() => world.end());

  const refusals: readonly (readonly [
    string,
    (acme: AcmeClient) => Promise<Answered>,
    number,
    string,
  ])[] = [
    [
      'a nonce that was used',
      async (acme) => {
        const nonce = await acme.nonce();
        const header = { nonce };
        await acme.post(acme.directory.newOrder, { identifiers: localhost }, { header });
        return acme.post(acme.directory.newOrder, { identifiers: localhost }, { header });
      },
      400,
      'badNonce',
    ],
    [
      'an invented nonce',
      (acme) => acme.post(acme.kid, undefined, { header: { nonce: 'AAAA' } }),
      400,
      'badNonce',
    ],
    [
      'a signature for another address',
      (acme) => acme.post(acme.kid, undefined, { header: { url: `${acme.kid}x` } }),
      403,
      'unauthorized',
    ],
    [
      'the algorithm none',
      (acme) => acme.post(acme.kid, undefined, { header: { alg: 'none' } }),
      400,
      'badSignatureAlgorithm',
    ],
    [
      'a MAC by a public key',
      (acme) => acme.post(acme.kid, undefined, { header: { alg: 'HS256' } }),
      400,
      'badSignatureAlgorithm',
    ],
    [
      'a key and an account at once',
      (acme) => acme.post(acme.kid, undefined, { header: { jwk: acme.jwk } }),
      400,
      'malformed',
    ],
    [
      'a key where an account is wanted',
      (acme) => acme.post(acme.directory.newOrder, {}, { jwk: true }),
      400,
      'malformed',
    ],
    [
      'an account that is not here',
      (acme) => acme.post(acme.kid, undefined, { header: { kid: `${acme.kid}0` } }),
      400,
      'accountDoesNotExist',
    ],
    [
      'what is no address of an account',
      (acme) => acme.post(acme.kid, undefined, { header: { kid: 'invalid' } }),
      400,
      'malformed',
    ],
    [
      'the account of somebody else',
      async (acme) => acme.get((await world.registered()).kid),
      403,
      'unauthorized',
    ],
    [
      'a body that is too large',
      (acme) => acme.send(acme.kid, { protected: 'x'.repeat(200_000) }),
      413,
      'malformed',
    ],
    [
      'another content type',
      (acme) => acme.send(acme.kid, {}, 'application/json'),
      415,
      'malformed',
    ],
    ['what is no JSON object', (acme) => acme.send(acme.kid, []), 400, 'malformed'],
    [
      'a name that the policy does not sign',
      (acme) =>
        acme.post(acme.directory.newOrder, {
          identifiers: [{ type: 'dns', value: 'example.org' }],
        }),
      400,
      'rejectedIdentifier',
    ],
    [
      'a name that is blocked',
      (acme) =>
        acme.post(acme.directory.newOrder, {
          identifiers: [{ type: 'dns', value: 'www.blocked.test' }],
        }),
      400,
      'rejectedIdentifier',
    ],
    [
      'an identifier of another kind',
      (acme) =>
        acme.post(acme.directory.newOrder, { identifiers: [{ type: 'email', value: 'a@b' }] }),
      400,
      'unsupportedIdentifier',
    ],
    [
      'a profile that is not offered',
      (acme) => acme.post(acme.directory.newOrder, { identifiers: localhost, profile: 'gold' }),
      400,
      'invalidProfile',
    ],
  ];
  for (const [what, ask, status, type] of refusals) {
    it(`refuses ${what}`, async () => {
      const answer = await ask(await world.registered());
      const expected = `urn:ietf:params:acme:error:${type}`;
      assert.deepEqual([answer.status, answer.body?.type], [status, expected]);
    });
  }
});
