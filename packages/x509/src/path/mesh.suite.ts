import { type TestCa, testCa } from '@countersign/testkit';
import type { Certificate } from '../certificate.ts';
import { extension } from '../extension-builders.ts';
import { at } from './crl-world.suite.ts';

export const cn = (value: string) => [{ type: 'CN', value }] as const;

/** Every CA has signed every other: as many paths as there are orders of them. */
export function mesh(size: number, nameOf: (i: number) => string, anchored: boolean) {
  const trusted = testCa({ at, name: 'trusted' });
  const roots = Array.from({ length: size }, (_, i) =>
    testCa({
      at,
      name: nameOf(i),
      nameConstraints: { excluded: [{ kind: 'dns', value: 'b.example' }] },
    }),
  );
  const crossed = roots.flatMap((issuer, i) =>
    roots.flatMap((subject, j) => (i === j ? [] : [crossSign(issuer, subject, nameOf(j))])),
  );
  const [first, last] = [roots[0] ?? trusted, roots.at(-1) ?? trusted];
  if (anchored) crossed.push(crossSign(trusted, last, nameOf(size - 1)));
  const end = first.leaf({ dns: Array.from({ length: 50 }, (_, i) => `n${i}.example`) });
  return { leaf: end.certificate, intermediates: crossed, anchors: [trusted.root], trusted, roots };
}

function crossSign(issuer: TestCa, subject: TestCa, name: string): Certificate {
  const constraints = extension.nameConstraints({
    excluded: [{ kind: 'dns', value: 'a.example' }],
  });
  const { certificate } = issuer.intermediate({
    subject: cn(name),
    key: subject.privateKey,
    extensions: [constraints],
  });
  return certificate;
}
