import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCa } from '@countersign/testkit';
import type { GeneralName } from '../general-name.ts';
import { parseIpAddress, parseIpNetwork } from '../ip-address.ts';
import { buildName, type NameAttribute } from '../name.ts';
import { malformedConstraint } from './name-constraints.ts';
import { validatePath } from './validate-path.ts';

const at = Date.parse('2026-05-01T12:00:00Z');

/** `permitted` and `excluded` of the root against one name of the leaf. */
function verdict(
  constraints: { permitted?: GeneralName[]; excluded?: GeneralName[] },
  name: GeneralName,
  subject: readonly NameAttribute[] = [],
): string {
  const root = testCa({ at, nameConstraints: constraints });
  const { certificate: leaf } = root.leaf({ dns: [], names: [name], subject });
  const result = validatePath({ leaf, intermediates: [], anchors: [root.root], at });
  return result.ok ? 'ok' : result.code;
}

const dns = (value: string): GeneralName => ({ kind: 'dns', value });
const uri = (value: string): GeneralName => ({ kind: 'uri', value });
const email = (value: string): GeneralName => ({ kind: 'email', value });
const ip = (text: string): GeneralName => ({
  kind: 'ip',
  bytes: (text.includes('/') ? parseIpNetwork(text) : parseIpAddress(text))!,
});
const directory = (...attributes: NameAttribute[]): GeneralName => ({
  kind: 'directory',
  name: buildName(attributes),
});
const org = (value: string): NameAttribute => ({ type: 'O', value });

const permitted = 'ERR_NAME_NOT_PERMITTED';
const excluded = 'ERR_NAME_EXCLUDED';
const uncheckable = 'ERR_NAME_UNCHECKABLE';

/** base, name, verdict where only the base is permitted, verdict where the base is excluded */
const cases: readonly [GeneralName, GeneralName, string, string][] = [
  [dns('a.example'), dns('a.example'), 'ok', excluded],
  [dns('a.example'), dns('X.A.example'), 'ok', excluded],
  [dns('a.example'), dns('xa.example'), permitted, 'ok'],
  [dns('a.example'), dns('example'), permitted, 'ok'],
  [dns('a.example'), dns('*.a.example'), 'ok', excluded],
  [dns('a.example'), dns('*.example'), permitted, excluded],
  [dns('x.a.example'), dns('*.example'), permitted, 'ok'],
  [dns('a.example'), dns('.a.example'), uncheckable, uncheckable],
  [dns('a.example'), dns('x..a.example'), uncheckable, uncheckable],
  [dns('a.example'), uri('https://b.example/'), 'ok', 'ok'],
  [uri('a.example'), uri('spiffe://a.example/ns/x'), 'ok', excluded],
  [uri('a.example'), uri('https://u@A.example:8443/x?y'), 'ok', excluded],
  [uri('a.example'), uri('spiffe://x.a.example/'), permitted, 'ok'],
  [uri('.a.example'), uri('spiffe://x.a.example/'), 'ok', excluded],
  [uri('.a.example'), uri('spiffe://a.example/'), permitted, 'ok'],
  [uri('a.example'), uri('https://10.0.0.1/'), uncheckable, uncheckable],
  [uri('a.example'), uri('urn:a.example'), uncheckable, uncheckable],
  [uri('a.example'), uri('https://b.example\\@a.example/'), uncheckable, uncheckable],
  [email('a.example'), email('x@a.example'), 'ok', excluded],
  [email('a.example'), email('x@b.a.example'), permitted, 'ok'],
  [email('.a.example'), email('x@b.a.example'), 'ok', excluded],
  [email('x@a.example'), email('x@A.example'), 'ok', excluded],
  [email('x@a.example'), email('X@a.example'), permitted, 'ok'],
  [email('a.example'), email('a@b@a.example'), uncheckable, uncheckable],
  [ip('10.0.0.0/8'), ip('10.1.2.3'), 'ok', excluded],
  [ip('10.0.0.0/8'), ip('11.0.0.1'), permitted, 'ok'],
  [ip('10.0.0.0/8'), ip('::1'), permitted, 'ok'],
  [ip('fd00::/8'), ip('fd00::1'), 'ok', excluded],
  [directory(org('A')), directory(org('a'), { type: 'CN', value: 'x' }), 'ok', excluded],
  [directory(org('A  B')), directory(org(' a b ')), 'ok', excluded],
  [directory(org('A')), directory(org('AB')), permitted, 'ok'],
  [directory(org('A'), { type: 'CN', value: 'x' }), directory(org('A')), permitted, 'ok'],
  [
    { kind: 'registeredId', oid: '1.2' },
    { kind: 'registeredId', oid: '1.2' },
    uncheckable,
    uncheckable,
  ],
];
for (const [i, [base, name, ifPermitted, ifExcluded]] of cases.entries()) {
  test(`name constraint ${i}: ${text(name)} against ${text(base)}`, () => {
    assert.equal(verdict({ permitted: [base] }, name), ifPermitted);
    assert.equal(verdict({ excluded: [base] }, name), ifExcluded);
  });
}

test('the subject is a directory name, and its addresses are e-mail names unless there are others', () => {
  const subject: NameAttribute[] = [org('B'), { type: 'emailAddress', value: 'x@b.example' }];
  assert.equal(verdict({ permitted: [directory(org('A'))] }, dns('a.example'), subject), permitted);
  assert.equal(verdict({ excluded: [directory(org('b'))] }, dns('a.example'), subject), excluded);
  assert.equal(verdict({ permitted: [email('a.example')] }, dns('a.example'), subject), permitted);
  assert.equal(verdict({ permitted: [email('a.example')] }, email('x@a.example'), subject), 'ok');
});

test('what one CA permits, the next can only narrow', () => {
  const root = testCa({ at, nameConstraints: { permitted: [dns('a.example')] } });
  const narrow = root.intermediate({
    nameConstraints: { permitted: [dns('b.a.example'), dns('c.example')] },
  });
  const judge = (name: string) => {
    const { certificate: leaf } = narrow.leaf({ dns: [name] });
    const result = validatePath({
      leaf,
      intermediates: [narrow.certificate],
      anchors: [root.root],
      at,
    });
    return result.ok ? 'ok' : result.code;
  };
  assert.equal(judge('x.b.a.example'), 'ok');
  assert.equal(judge('a.example'), permitted);
  assert.equal(judge('c.example'), permitted);
});

test('malformed constraints are named', () => {
  const malformed: GeneralName[] = [
    dns('.a.example'),
    dns('*.a.example'),
    uri('https://a.example'),
    email('a@b@c'),
    { kind: 'ip', bytes: Uint8Array.of(10, 0, 0, 0) },
    { kind: 'ip', bytes: Uint8Array.of(10, 0, 0, 0, 255, 0, 255, 0) },
  ];
  for (const base of malformed) {
    assert.match(
      malformedConstraint({ permitted: [{ base }], excluded: [] }) ?? '',
      /as a constraint$/,
    );
  }
  for (const base of [dns(''), email(''), uri(''), ip('0.0.0.0/0')]) {
    assert.equal(malformedConstraint({ permitted: [], excluded: [{ base }] }), undefined);
  }
  assert.ok(malformedConstraint({ permitted: [], excluded: [] }));
});

function text(name: GeneralName): string {
  return 'value' in name ? `${name.kind}:${name.value}` : name.kind;
}
