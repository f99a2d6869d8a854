import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCa } from '@countersign/testkit';
import { matchNames } from './match-name.ts';
import type { ExpectedName } from './path-request.ts';

const ca = testCa();

function verdict(
  names: { dns?: string[]; ip?: string[]; email?: string[]; uri?: string[] },
  ...expected: ExpectedName[]
): string {
  const { certificate } = ca.leaf({
    dns: [],
    subject: [{ type: 'CN', value: 'cn.example' }],
    ...names,
  });
  return matchNames(certificate, expected)?.code ?? 'match';
}

const dnsCases: readonly [presented: string, expected: string, verdict: string][] = [
  ['a.example', 'a.example', 'match'],
  ['A.Example', 'a.eXample', 'match'],
  ['a.example', 'a.example.', 'match'],
  ['a.example.', 'a.example', 'ERR_NAME_MISMATCH'],
  ['a.example', 'b.example', 'ERR_NAME_MISMATCH'],
  ['a.example', 'x.a.example', 'ERR_NAME_MISMATCH'],
  ['localhost', 'localhost', 'match'],
  ['*.a.example', 'x.a.example', 'match'],
  ['*.a.example', 'xn--bcher-kva.a.example', 'match'],
  ['*.a.example', 'a.example', 'ERR_NAME_MISMATCH'],
  ['*.a.example', 'x.y.a.example', 'ERR_NAME_MISMATCH'],
  ['x*.a.example', 'xy.a.example', 'ERR_NAME_MISMATCH'],
  ['x.*.example', 'x.y.example', 'ERR_NAME_MISMATCH'],
  ['*', 'example', 'ERR_NAME_MISMATCH'],
  ['*.example', 'a.example', 'ERR_NAME_MISMATCH'],
  ['*.co.uk', 'a.co.uk', 'ERR_NAME_MISMATCH'],
  ['*.a.example', '*.a.example', 'ERR_NAME_SYNTAX'],
  ['a_b.example', 'a_b.example', 'ERR_NAME_SYNTAX'],
  ['10.0.0.1', '10.0.0.1', 'ERR_NAME_SYNTAX'],
  ['a.example', '', 'ERR_NAME_SYNTAX'],
  ['a.example', 'bücher.example', 'ERR_NAME_SYNTAX'],
];
for (const [presented, expected, wanted] of dnsCases) {
  test(`dns "${presented}" where "${expected}" is expected: ${wanted}`, () => {
    assert.equal(verdict({ dns: [presented] }, { dns: expected }), wanted);
  });
}

test('the common name is not a name', () => {
  assert.equal(verdict({ uri: ['urn:x'] }, { dns: 'cn.example' }), 'ERR_NAME_MISMATCH');
});

test('addresses are equal byte for byte, and only as addresses', () => {
  assert.equal(verdict({ ip: ['2001:db8::1'] }, { ip: '2001:DB8:0:0:0:0:0:1' }), 'match');
  assert.equal(verdict({ ip: ['10.0.0.1'] }, { ip: '10.0.0.2' }), 'ERR_NAME_MISMATCH');
  assert.equal(verdict({ ip: ['10.0.0.1'] }, { ip: '::ffff:10.0.0.1' }), 'ERR_NAME_MISMATCH');
  assert.equal(verdict({ dns: ['10.0.0.1'] }, { ip: '10.0.0.1' }), 'ERR_NAME_MISMATCH');
  assert.equal(verdict({ ip: ['10.0.0.1'] }, { ip: '010.0.0.1' }), 'ERR_NAME_SYNTAX');
});

test('mailboxes keep the case of the local part and ignore that of the host', () => {
  assert.equal(verdict({ email: ['Ann@A.example'] }, { email: 'Ann@a.example' }), 'match');
  assert.equal(
    verdict({ email: ['Ann@a.example'] }, { email: 'ann@a.example' }),
    'ERR_NAME_MISMATCH',
  );
  assert.equal(
    verdict({ email: ['a@b@a.example'] }, { email: 'b@a.example' }),
    'ERR_NAME_MISMATCH',
  );
  assert.equal(verdict({ email: ['a@a.example'] }, { email: 'a.example' }), 'ERR_NAME_SYNTAX');
});

test('a SPIFFE ID is equal character for character to a URI name', () => {
  const uri = ['spiffe://a.example/ns/prod'];
  assert.equal(verdict({ uri }, { spiffe: 'spiffe://a.example/ns/prod' }), 'match');
  assert.equal(verdict({ uri }, { spiffe: 'spiffe://a.example/ns/Prod' }), 'ERR_NAME_MISMATCH');
  assert.equal(verdict({ uri }, { spiffe: 'spiffe://a.example/ns/prod/' }), 'ERR_NAME_MISMATCH');
  assert.equal(verdict({ uri }, { spiffe: 'https://a.example' }), 'ERR_NAME_SYNTAX');
});

test('every expected name has to be there, and the refusal shows both sides', () => {
  const names = { dns: ['a.example', 'b.example'] };
  assert.equal(verdict(names, { dns: 'a.example' }, { dns: 'b.example' }), 'match');
  const { certificate } = ca.leaf({ ...names, subject: [{ type: 'CN', value: 'x' }] });
  const refusal = matchNames(certificate, [{ dns: 'a.example' }, { dns: 'c.example' }]);
  assert.equal(
    refusal?.detail,
    'certificate "CN=x" has "dns:a.example", "dns:b.example", expected "dns:c.example"',
  );
});
