import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseKeyUri } from './key-uri.ts';

const tail = '?module-path=/usr/lib/m.so&pin-source=file:/etc/pin';

it('a PKCS #11 URI names module, token, key and where the PIN is', () => {
  assert.deepEqual(
    parseKeyUri(`pkcs11:token=my%20token;object=laptop;id=%01%fe;type=private${tail}`),
    {
      ...{ module: '/usr/lib/m.so', token: 'my token', serial: undefined },
      ...{ object: 'laptop', id: '01fe', pin: { from: 'file', path: '/etc/pin' } },
    },
  );
  const byEnv = parseKeyUri('pkcs11:token=t;id=%00?module-path=/m.so&pin-source=env:TOKEN_PIN');
  assert.deepEqual(byEnv.pin, { from: 'environment', variable: 'TOKEN_PIN' });
  assert.deepEqual(parseKeyUri('pkcs11:token=t;object=a?module-path=/m.so').pin, {
    from: 'prompt',
  });
});

for (const [what, uri, message] of [
  ['another scheme', 'tpm:0x81000001', /does not begin/],
  ['no module', 'pkcs11:token=t;object=a', /"module-path" is missing/],
  ['a module that is found anywhere', 'pkcs11:token=t;object=a?module-path=m.so', /absolute/],
  ['no token', `pkcs11:object=a${tail}`, /"token" is missing/],
  ['no key', `pkcs11:token=t${tail}`, /"object" and "id" are missing/],
  ['a PIN', 'pkcs11:token=t;object=a?module-path=/m&pin-value=1234', /"pin-value" would show/],
  ['a command for the PIN', 'pkcs11:token=t;object=a?module-path=/m&pin-source=|cat', /pin-source/],
  ['a slot', `pkcs11:slot-id=1;token=t;object=a${tail}`, /"slot-id" is not understood/],
  ['an attribute twice', `pkcs11:token=t;token=u;object=a${tail}`, /"token" is there twice/],
  ['a wrong percent', `pkcs11:token=t;object=%zz${tail}`, /wrong "%"/],
  ['a certificate', `pkcs11:token=t;object=a;type=cert${tail}`, /no key that signs/],
] as const) {
  it(`a PKCS #11 URI with ${what} is refused`, () => {
    assert.throws(
      () => parseKeyUri(uri),
      (thrown: Error & { code?: string }) => {
        assert.equal(thrown.code, 'ERR_SIGNER_URI');
        assert.match(thrown.message, message);
        assert.ok(!thrown.message.includes('1234'), 'the PIN is told');
        return true;
      },
    );
  });
}
