import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Mutations, type TestCa, testCa } from '@countersign/testkit';
import type { Certificate } from '../certificate.ts';
import { extension } from '../extension-builders.ts';
import { oids } from '../oids.ts';
import type { PolicyInputs } from './path-request.ts';
import { validatePath } from './validate-path.ts';

const at = Date.parse('2026-05-01T12:00:00Z');
const { anyPolicy } = oids;
const gold = '1.2.3.1';
const silver = '1.2.3.2';
const bronze = '1.2.3.3';
const root = testCa({ at });

/** With a wanted set, one of its policies is required. */
function verdict(
  links: readonly Mutations[],
  wanted?: readonly string[],
  from: TestCa = root,
): string {
  const policies = wanted && { initialPolicySet: wanted, requireExplicitPolicy: true };
  return verdictFor(links, policies, from);
}

/** A path of CAs from the root down; the last of `links` is the leaf. */
function verdictFor(
  links: readonly Mutations[],
  policies: PolicyInputs | undefined,
  from: TestCa = root,
): string {
  let ca = from;
  const intermediates: Certificate[] = [];
  for (const link of links.slice(0, -1)) {
    ca = ca.intermediate(link);
    intermediates.push(ca.certificate);
  }
  const { certificate: leaf } = ca.leaf(links.at(-1) ?? {});
  const result = validatePath({ leaf, intermediates, anchors: [from.root], at, policies });
  return result.ok ? 'ok' : result.code;
}

const map = (from: string, to: string) =>
  extension.policyMappings([{ issuerDomainPolicy: from, subjectDomainPolicy: to }]);
const explicit = extension.policyConstraints({ requireExplicitPolicy: 0 });
const refused = 'ERR_PATH_POLICY';

test('a wanted policy has to be asserted all the way', () => {
  assert.equal(verdict([{ policies: [gold] }, { policies: [gold] }], [gold]), 'ok');
  assert.equal(
    verdict([{ policies: [gold, silver] }, { policies: [silver] }], [gold, silver]),
    'ok',
  );
  assert.equal(verdict([{ policies: [gold] }, { policies: [gold] }], [silver]), refused);
  assert.equal(verdict([{ policies: [gold] }, { policies: [silver] }], [gold, silver]), refused);
  assert.equal(verdict([{}, { policies: [gold] }], [gold]), refused);
  assert.equal(verdict([{ policies: [gold] }, {}], [gold]), refused);
  assert.equal(verdict([{ policies: [gold] }, { policies: [gold] }], []), refused);
});

test('without a wish and without a demand, policies do not matter', () => {
  assert.equal(verdict([{ policies: [gold] }, { policies: [silver] }]), 'ok');
  assert.equal(verdict([{ extensions: [extension.inhibitAnyPolicy(0)] }, {}]), 'ok');
});

test('a CA can demand a policy', () => {
  assert.equal(verdict([{ policies: [gold], extensions: [explicit] }, { policies: [gold] }]), 'ok');
  assert.equal(
    verdict([{ policies: [gold], extensions: [explicit] }, { policies: [silver] }]),
    refused,
  );
  assert.equal(verdict([{ extensions: [explicit] }, { policies: [gold] }]), refused);
  const later = extension.policyConstraints({ requireExplicitPolicy: 1 });
  assert.equal(verdict([{ policies: [gold], extensions: [later] }, {}]), refused);
  const never = extension.policyConstraints({ requireExplicitPolicy: 5 });
  assert.equal(verdict([{ policies: [gold], extensions: [never] }, {}]), 'ok');
});

test('an anchor can demand a policy and limit it', () => {
  const demanding = testCa({ at, extensions: [explicit] });
  assert.equal(verdict([{ policies: [gold] }, { policies: [gold] }], undefined, demanding), 'ok');
  assert.equal(verdict([{}, {}], undefined, demanding), refused);
  const golden = testCa({ at, policies: [gold] });
  assert.equal(verdict([{ policies: [gold] }, { policies: [gold] }], [gold], golden), 'ok');
  assert.equal(
    verdict([{ policies: [silver] }, { policies: [silver] }], [silver], golden),
    refused,
  );
});

test('anyPolicy stands for any, until it is inhibited', () => {
  assert.equal(verdict([{ policies: [anyPolicy] }, { policies: [gold] }], [gold]), 'ok');
  assert.equal(verdict([{ policies: [gold] }, { policies: [anyPolicy] }], [gold]), 'ok');
  assert.equal(verdict([{ policies: [anyPolicy] }, { policies: [anyPolicy] }], [gold]), 'ok');
  assert.equal(verdict([{ policies: [gold] }, { policies: [gold] }], [anyPolicy]), 'ok');
  const inhibited = { policies: [anyPolicy], extensions: [extension.inhibitAnyPolicy(0)] };
  assert.equal(verdict([inhibited, { policies: [gold] }], [gold]), 'ok');
  assert.equal(verdict([inhibited, { policies: [anyPolicy] }], [gold]), refused);
});

test('a mapping translates, and only what is mapped', () => {
  const mapping = { policies: [gold], extensions: [map(gold, silver)] };
  assert.equal(verdict([mapping, { policies: [silver] }], [gold]), 'ok');
  assert.equal(verdict([mapping, { policies: [silver] }], [silver]), refused);
  assert.equal(verdict([mapping, { policies: [gold] }], [gold]), refused);
  const twice = [
    mapping,
    { policies: [silver], extensions: [map(silver, bronze)] },
    { policies: [bronze] },
  ];
  assert.equal(verdict(twice, [gold]), 'ok');
  const fromAny = { policies: [anyPolicy], extensions: [map(gold, silver)] };
  assert.equal(verdict([fromAny, { policies: [silver] }], [gold]), 'ok');
});

test('an inhibited mapping removes the policy', () => {
  const inhibit = extension.policyConstraints({ inhibitPolicyMapping: 0 });
  const links: Mutations[] = [
    { policies: [gold], extensions: [inhibit] },
    { policies: [gold], extensions: [map(gold, silver)] },
    { policies: [silver] },
  ];
  assert.equal(verdict(links, [gold]), refused);
});

test('PKITS 4.8: a set of policies matters where somebody requires one of them', () => {
  const links = [{ policies: [gold] }, { policies: [gold] }];
  const initialPolicySet = [silver];
  assert.equal(verdictFor(links, { initialPolicySet }), 'ok');
  assert.equal(verdictFor(links, { initialPolicySet, requireExplicitPolicy: true }), refused);
  assert.equal(verdictFor(links, { requireExplicitPolicy: true }), 'ok');
  assert.equal(verdictFor([{}, {}], { requireExplicitPolicy: true }), refused);
  assert.equal(verdictFor([{}, {}], { initialPolicySet }), 'ok');
  const requiring = [{ policies: [gold], extensions: [explicit] }, { policies: [gold] }];
  assert.equal(verdictFor(requiring, { initialPolicySet }), refused);
  assert.equal(verdictFor(requiring, { initialPolicySet: [silver, gold] }), 'ok');
});

test('PKITS 4.10.1: mapping can be inhibited from the start', () => {
  const links = [{ policies: [gold], extensions: [map(gold, silver)] }, { policies: [silver] }];
  const policies = { initialPolicySet: [gold], requireExplicitPolicy: true };
  assert.equal(verdictFor(links, policies), 'ok');
  assert.equal(verdictFor(links, { ...policies, inhibitPolicyMapping: true }), refused);
  assert.equal(verdictFor(links, { inhibitPolicyMapping: true }), 'ok');
});

test('PKITS 4.12.3: anyPolicy can be inhibited from the start', () => {
  const links = [{ policies: [anyPolicy] }, { policies: [gold] }];
  const policies = { requireExplicitPolicy: true };
  assert.equal(verdictFor(links, policies), 'ok');
  assert.equal(verdictFor(links, { ...policies, inhibitAnyPolicy: true }), refused);
  const named = [{ policies: [gold, anyPolicy] }, { policies: [gold] }];
  assert.equal(verdictFor(named, { ...policies, inhibitAnyPolicy: true }), 'ok');
});

test('PKITS 4.12: anyPolicy of a self-issued CA counts where it is inhibited', () => {
  const same = { subject: [{ type: 'CN', value: 'self' }] as const, policies: [anyPolicy] };
  const end = { policies: [gold] };
  const inhibited = { ...same, policies: [gold], extensions: [extension.inhibitAnyPolicy(0)] };
  assert.equal(verdict([inhibited, same, end], [gold]), 'ok');
  const other = { policies: [anyPolicy] };
  assert.equal(verdict([inhibited, other, end], [gold]), refused);
});

test('policy constraints that are not critical hold in a CA with policies, and in no other', () => {
  const uncritical = extension.policyConstraints({ requireExplicitPolicy: 0 }, false);
  const links = (policies?: string[]): Mutations[] => [
    { ...(policies && { policies }), extensions: [uncritical] },
    { policies: [gold] },
  ];
  assert.equal(verdict(links([gold])), 'ok');
  assert.equal(verdict(links([silver])), refused);
  assert.equal(verdict(links()), 'ERR_CERT_CRITICALITY');
});

test('mappings that would double a tree at each level stay linear', () => {
  // RFC 9618 §1: two policies, each mapped to both, on every CA
  const both = extension.policyMappings(
    [gold, silver].flatMap((from) =>
      [gold, silver].map((to) => ({ issuerDomainPolicy: from, subjectDomainPolicy: to })),
    ),
  );
  const level: Mutations = { policies: [gold, silver], extensions: [both] };
  const links = [...Array.from({ length: 40 }, () => level), { policies: [gold] }];
  const start = performance.now();
  assert.equal(verdict(links, [gold]), 'ok');
  assert.ok(performance.now() - start < 20_000);
});

test('the refusal names what the path is valid for and what is accepted', () => {
  const ca = root.intermediate({ policies: [gold] });
  const { certificate: leaf } = ca.leaf({
    policies: [gold],
    subject: [{ type: 'CN', value: 'x' }],
  });
  const result = validatePath({
    leaf,
    intermediates: [ca.certificate],
    anchors: [root.root],
    at,
    policies: { initialPolicySet: [silver], requireExplicitPolicy: true },
  });
  assert.ok(!result.ok);
  assert.equal(
    result.detail,
    `path of certificate "CN=x" is valid for policies ${gold}, accepted are ${silver}`,
  );
});
