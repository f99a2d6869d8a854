import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCa } from '@countersign/testkit';
import fc from 'fast-check';
import type { Certificate } from '../certificate.ts';
import { parseCertificate } from '../parse-certificate.ts';
import { validatePath } from './validate-path.ts';

const at = Date.parse('2026-05-01T12:00:00Z');
const root = testCa({ at });
const issuing = root.intermediate({
  pathLen: 1,
  policies: ['1.2.3'],
  nameConstraints: { permitted: [{ kind: 'dns', value: 'a.example' }] },
});
const leaf = issuing.leaf({
  dns: ['a.example'],
  ip: ['10.0.0.1'],
  policies: ['1.2.3'],
}).certificate;

function verdict(changes: {
  leaf?: Certificate;
  issuing?: Certificate;
  root?: Certificate;
}): string {
  const result = validatePath({
    leaf: changes.leaf ?? leaf,
    intermediates: [changes.issuing ?? issuing.certificate],
    anchors: [changes.root ?? root.root],
    at,
    names: [{ dns: 'a.example' }],
    policies: { initialPolicySet: ['1.2.3'], requireExplicitPolicy: true },
  });
  return result.ok ? 'ok' : result.code;
}

/** The certificate with one octet changed, or undefined where it can no longer be read. */
function mutated(
  certificate: Certificate,
  offset: number,
  change: number,
): Certificate | undefined {
  const bytes = Uint8Array.from(certificate.raw);
  const place = offset % bytes.byteLength;
  bytes[place] = (bytes[place] ?? 0) ^ change;
  try {
    return parseCertificate(bytes);
  } catch (thrown) {
    assert.match(String((thrown as { code?: string }).code), /^ERR_/);
    return undefined;
  }
}

const mutation = [fc.nat(), fc.integer({ min: 1, max: 255 })] as const;

test('the path is accepted as long as nothing is changed', () => {
  assert.equal(verdict({}), 'ok');
});

test('a leaf or an intermediate with any octet changed is refused', () => {
  let judged = 0;
  fc.assert(
    fc.property(...mutation, (offset, change) => {
      const changedLeaf = mutated(leaf, offset, change);
      const changedIssuing = mutated(issuing.certificate, offset, change);
      if (changedLeaf !== undefined) assert.match(verdict({ leaf: changedLeaf }), /^ERR_/);
      if (changedIssuing !== undefined) assert.match(verdict({ issuing: changedIssuing }), /^ERR_/);
      judged += changedLeaf === undefined ? 0 : 1;
    }),
    { numRuns: 1500 },
  );
  assert.ok(judged > 300, `${judged} were readable`);
});

test('an anchor with an octet changed is judged without an exception', () => {
  fc.assert(
    fc.property(...mutation, (offset, change) => {
      const changed = mutated(root.root, offset, change);
      if (changed !== undefined) assert.match(verdict({ root: changed }), /^(ok|ERR_)/);
    }),
    { numRuns: 1500 },
  );
});
