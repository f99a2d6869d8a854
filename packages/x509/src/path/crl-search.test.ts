import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Crl } from '../crl.ts';
import { at, judge, listBy } from './crl-world.suite.ts';
import { cn, mesh } from './mesh.suite.ts';
import { validatePath } from './validate-path.ts';

for (const [what, nameOf] of [
  ['of different names', (i: number) => `CA ${i}`],
  ['of one name', () => 'CA'],
] as const) {
  test(`a mesh of CAs ${what} that no list is about is given up in time`, async () => {
    const { trusted, roots: _, ...input } = mesh(9, nameOf, true);
    refusedInTime({ ...input, crls: [await listBy(trusted)] });
  });

  test(`a mesh of CAs ${what} whose lists are signed by keys below them is given up in time`, async () => {
    const { trusted, roots, ...input } = mesh(7, nameOf, true);
    const signers = roots.map((root, i) =>
      root.leaf({ subject: cn(nameOf(i)), keyUsage: ['cRLSign'], extKeyUsage: null }),
    );
    const lists = await Promise.all(signers.map((signer) => listBy(signer)));
    const intermediates = [
      ...input.intermediates,
      ...signers.map(({ certificate }) => certificate),
    ];
    refusedInTime({ ...input, intermediates, crls: [await listBy(trusted), ...lists] });
  });

  test(`a mesh of CAs ${what} with a list of each has a way out`, async () => {
    const { trusted, roots, ...input } = mesh(5, nameOf, true);
    const crls = await Promise.all([trusted, ...roots].map((ca) => listBy(ca)));
    assert.equal(judge({ ...input, crls }), 'ok');
  });
}

function refusedInTime(input: Parameters<typeof judge>[0] & { readonly crls: readonly Crl[] }) {
  const start = performance.now();
  const result = validatePath({ ...input, at });
  const ms = performance.now() - start;
  assert.ok(!result.ok);
  assert.match(result.code, /^ERR_(CRL_(MISSING|ISSUER|SIGNATURE)|PATH_BUDGET)$/);
  assert.ok(ms < 2500, `${ms} ms`);
}
