import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { capabilitiesAt, reachesInto } from './access.ts';
import { type PathRule, readPolicy } from './policy-document.ts';

function rulesOf(text: string): readonly PathRule[] {
  const read = readPolicy(text);
  assert.ok(read.ok, read.ok ? '' : read.wrong);
  return read.rules;
}

const given = (text: string, path: string) => [...capabilitiesAt(rulesOf(text), path)].toSorted();

describe('policies of the Vault edge', () => {
  it('are read in HCL with comments, in JSON, and in the words of before', () => {
    const hcl = `
      # sign
      path "pki/sign/web" { capabilities = ["update", "create",] } // both
      /* and more */ path "pki/*" { policy = "read" comment = "old" }
    `;
    assert.deepEqual(given(hcl, 'pki/sign/web'), ['create', 'update']);
    assert.deepEqual(given(hcl, 'pki/roles/web'), ['list', 'read']);
    assert.deepEqual(given('{"path":{"a":{"capabilities":["read"]}}}', 'a'), ['read']);
    assert.deepEqual(given('{"path":[{"a":[{"capabilities":["list"]}]}]}', 'a'), ['list']);
    assert.deepEqual(given('', 'a'), []);
  });

  it('let what the most precise path says, and nothing where it denies', () => {
    const text = `
      path "pki/*" { capabilities = ["read"] }
      path "pki/roles/*" { capabilities = ["list"] }
      path "pki/+/web" { capabilities = ["update"] }
      path "pki/roles/secret" { capabilities = ["deny", "read"] }
    `;
    assert.deepEqual(given(text, 'pki/ca'), ['read']);
    assert.deepEqual(given(text, 'pki/roles/other'), ['list']);
    assert.deepEqual(given(text, 'pki/roles/web'), ['list']);
    assert.deepEqual(given(text, 'pki/sign/web'), ['update']);
    assert.deepEqual(given(text, 'pki/sign/web/more'), ['read']);
    assert.deepEqual(given(text, 'pki/roles/secret'), ['deny']);
    assert.deepEqual(given(text, 'other'), []);
    const both = 'path "a" { capabilities = ["read"] } path "a" { capabilities = ["list"] }';
    assert.deepEqual(given(both, 'a'), ['list', 'read']);
  });

  it('reach into the mounts that they name', () => {
    const rules = rulesOf(
      'path "team/+/sign/web" { capabilities = ["update"] } path "x/a" { capabilities = ["deny"] }',
    );
    assert.equal(reachesInto(rules, 'team/int/'), true);
    assert.equal(reachesInto(rules, 'other/'), false);
    assert.equal(reachesInto(rules, 'x/'), false);
  });

  const wrong: readonly (readonly [string, string, RegExp])[] = [
    ['an unknown capability', 'path "a" { capabilities = ["reed"] }', /invalid capability "reed"/],
    ['what ends amid a path', 'path "a" {', /ends amid a path/],
    [
      'what bounds a caller and is not done',
      'path "a" { allowed_parameters = { x = [] } }',
      /"allowed_parameters" of path "a" is not supported/,
    ],
    [
      'the same in JSON',
      '{"path":{"a":{"denied_parameters":{}}}}',
      /"denied_parameters" of path "a"/,
    ],
    ['a template', 'path "{{identity.entity.id}}" { capabilities = ["read"] }', /template/],
    ['a star within', 'path "a/*/b" { capabilities = ["read"] }', /"\*" stands at the end alone/],
    ['another block', 'rule "a" {}', /invalid key "rule"/],
    ['what is no HCL', 'path "a" @', /not understood/],
  ];
  for (const [what, text, told] of wrong) {
    it(`are refused with ${what}`, () => {
      const read = readPolicy(text);
      assert.match(read.ok ? '' : read.wrong, told);
    });
  }
});
