import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCa } from '@countersign/testkit';
import fc from 'fast-check';
import type { Certificate } from '../certificate.ts';
import { cn, mesh } from './mesh.suite.ts';
import { SignatureCache } from './signature-cache.ts';
import { validatePath } from './validate-path.ts';

const at = Date.parse('2026-05-01T12:00:00Z');

/**
 * Two roots, CAs that sign each other, good and bad twins: more than one way up, and many that
 * fail.
 */
function tangle() {
  const root = testCa({ at });
  const stranger = testCa({ at, name: 'stranger' });
  const a = root.intermediate({ subject: cn('A') });
  const b = a.intermediate({ subject: cn('B') });
  const bExpired = a.intermediate({ subject: cn('B'), key: b.privateKey, notAfter: at - 1000 });
  const aByStranger = stranger.intermediate({ subject: cn('A'), key: a.privateKey });
  const aByB = b.intermediate({ subject: cn('A'), key: a.privateKey });
  const bByRoot = root.intermediate({ subject: cn('B'), key: b.privateKey, pathLen: 0 });
  const namesake = stranger.intermediate({ subject: cn('B') });
  const all = [a, b, bExpired, aByStranger, aByB, bByRoot, namesake];
  const certificates = [...all.map(({ certificate }) => certificate), root.root, stranger.root];
  return { root, stranger, a, b, certificates, leaf: b.leaf().certificate };
}

const { root, stranger, a, b, certificates, leaf } = tangle();
const outsider = testCa({ at, name: 'outsider' });
const garbage = [
  outsider.root,
  outsider.intermediate().certificate,
  outsider.leaf().certificate,
  outsider.intermediate({ subject: cn('B') }).certificate,
  leaf,
];

test('the verdict does not depend on the order or number of intermediates', () => {
  const subset = fc.subarray(certificates, { minLength: 0 });
  const input = subset.chain((chosen) =>
    fc.record({
      chosen: fc.constant(chosen),
      shuffled: fc.shuffledSubarray([...chosen, ...chosen, ...garbage], {
        minLength: chosen.length * 2 + garbage.length,
      }),
      trusted: fc.constantFrom(
        [root.root],
        [stranger.root],
        [a.certificate],
        [root.root, stranger.root],
      ),
      maxDepth: fc.constantFrom(undefined, 0, 1, 2),
    }),
  );
  let accepted = 0;
  fc.assert(
    fc.property(input, ({ chosen, shuffled, trusted, maxDepth }) => {
      const plain = validatePath({ leaf, intermediates: chosen, anchors: trusted, at, maxDepth });
      const mixed = validatePath({ leaf, intermediates: shuffled, anchors: trusted, at, maxDepth });
      if (plain.ok) accepted += 1;
      assert.equal(mixed.ok, plain.ok);
      if (!plain.ok || !mixed.ok) return;
      assert.deepEqual(mixed.chain.map(hexOf), plain.chain.map(hexOf));
    }),
    { numRuns: 150 },
  );
  assert.ok(accepted > 10, `${accepted} accepted`);
});

test('the order of intermediates does not show in the reason', () => {
  const input = fc.shuffledSubarray(certificates.slice(0, 7), { minLength: 7 });
  const details = new Set<string>();
  fc.assert(
    fc.property(input, (intermediates) => {
      const result = validatePath({ leaf, intermediates, anchors: [outsider.root], at });
      assert.ok(!result.ok);
      details.add(result.detail);
    }),
    { numRuns: 60 },
  );
  assert.equal(details.size, 1, [...details].join('\n'));
});

test('CAs that only sign each other end the search', () => {
  const one = testCa({ at, name: 'one' });
  const two = one.intermediate({ subject: cn('two') });
  const oneByTwo = two.intermediate({ subject: cn('one'), key: one.privateKey });
  const result = validatePath({
    leaf: two.leaf().certificate,
    intermediates: [two.certificate, oneByTwo.certificate],
    anchors: [root.root],
    at,
  });
  assert.ok(!result.ok);
  assert.equal(result.code, 'ERR_PATH_NO_ISSUER');
  assert.match(result.detail, /only leads back to what it has issued/);
});

for (const [what, nameOf] of [
  ['of different names', (i: number) => `CA ${i}`],
  ['of one name', () => 'CA'],
] as const) {
  test(`a mesh of CAs ${what} without an anchor is given up in time`, () => {
    const input = mesh(9, nameOf, false);
    const start = performance.now();
    const result = validatePath({ ...input, at });
    const ms = performance.now() - start;
    assert.ok(!result.ok);
    assert.equal(result.code, 'ERR_PATH_BUDGET');
    assert.match(
      result.detail,
      /no valid path for certificate "CN=.*" within \d+ (links|signature checks|name comparisons)/,
    );
    assert.ok(ms < 2500, `${ms} ms`);
  });

  test(`a mesh of CAs ${what} with one way out is found`, () => {
    const result = validatePath({ ...mesh(6, nameOf, true), at });
    assert.ok(result.ok, result.ok ? '' : result.detail);
  });

  test(`a mesh of CAs ${what} whose paths all lack the policy is given up in time`, () => {
    const start = performance.now();
    const policies = { requireExplicitPolicy: true };
    const result = validatePath({ ...mesh(9, nameOf, true), at, policies });
    const ms = performance.now() - start;
    assert.ok(!result.ok);
    assert.ok(ms < 2500, `${ms} ms`);
  });
}

test('a long chain of CAs with one name and different keys ends within the budget', () => {
  let ca = testCa({ at, name: 'same' });
  const intermediates = [ca.root];
  for (let i = 0; i < 100; i += 1) {
    ca = ca.intermediate({ subject: cn('same') });
    intermediates.push(ca.certificate);
  }
  const start = performance.now();
  const result = validatePath({
    leaf: ca.leaf().certificate,
    intermediates,
    anchors: [root.root],
    at,
  });
  assert.ok(!result.ok);
  assert.equal(result.code, 'ERR_PATH_BUDGET');
  assert.ok(performance.now() - start < 20_000);
});

test('a budget can be tightened, and a path within it is still found', () => {
  const input = { leaf, intermediates: [b.certificate, a.certificate], anchors: [root.root], at };
  assert.ok(validatePath({ ...input, budget: { signatureChecks: 3 } }).ok);
  const result = validatePath({ ...input, budget: { signatureChecks: 2 } });
  assert.ok(!result.ok);
  assert.equal(result.code, 'ERR_PATH_BUDGET');
});

test('a signature cache saves the checks, keeps its bound, and remembers no failure', () => {
  const signatures = new SignatureCache({ maxEntries: 3 });
  const input = {
    leaf,
    intermediates: [b.certificate, a.certificate],
    anchors: [root.root],
    at,
    signatures,
  };
  assert.ok(validatePath(input).ok);
  assert.equal(signatures.size, 3);
  assert.ok(validatePath({ ...input, budget: { signatureChecks: 0 } }).ok);

  const forged = b.leaf({ brokenSignature: true }).certificate;
  assert.ok(!validatePath({ ...input, leaf: forged }).ok);
  assert.ok(!validatePath({ ...input, leaf: forged }).ok);
  assert.ok(validatePath({ ...input, leaf: b.leaf().certificate }).ok);
  assert.equal(signatures.size, 3);
});

function hexOf(certificate: Certificate): string {
  return Buffer.from(certificate.raw).toString('hex');
}
