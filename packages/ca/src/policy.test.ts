import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseNames } from './certificate-names.ts';
import {
  constraintAgainst,
  constraintsLeave,
  matchesDnsPattern,
  parseDnsConstraint,
  parseDnsName,
  parseDnsPattern,
} from './dns-name.ts';
import { decideLifetime, lifetimeOf } from './lifetime-policy.ts';

function pattern(text: string) {
  const read = parseDnsPattern(text);
  assert.ok(read.ok, text);
  return read.pattern;
}

describe('dns patterns', () => {
  const rows: readonly (readonly [string, string, boolean])[] = [
    ['payments.prod.internal', 'payments.prod.internal', true],
    ['payments.prod.internal', 'orders.prod.internal', false],
    ['*.prod.internal', 'payments.prod.internal', true],
    ['*.prod.internal', 'prod.internal', false],
    ['*.prod.internal', 'a.b.prod.internal', false],
    ['*.prod.internal', 'payments.prod.internal.evil.example', false],
    ['*.prod.internal', 'payments-prod.internal', false],
    ['*.*.svc.cluster.local', 'payments.prod.svc.cluster.local', true],
    ['**.prod.internal', 'payments.prod.internal', true],
    ['**.prod.internal', 'a.b.prod.internal', true],
    ['**.prod.internal', 'prod.internal', false],
    ['payments.*.internal', 'payments.prod.internal', true],
    ['*', 'localhost', true],
    ['*', 'a.b.c', true],
    ['*.PROD.internal', 'payments.prod.internal', true],
  ];
  for (const [written, name, expected] of rows) {
    it(`"${written}" ${expected ? 'admits' : 'does not admit'} "${name}"`, () => {
      assert.equal(matchesDnsPattern(pattern(written), name), expected);
    });
  }
});

describe('dns names', () => {
  for (const text of [
    '',
    'a..b',
    '-a.b',
    'a-.b',
    'a_b.c',
    'a.b.',
    '*.a',
    'ü.example',
    '10.0.0.1',
    '1.2',
    `${'a'.repeat(64)}.b`,
    'a b.c',
    'a.b\0.c',
  ]) {
    it(`"${text.slice(0, 20)}" is none`, () => {
      assert.equal(parseDnsName(text).ok, false);
    });
  }

  it('have one spelling', () => {
    assert.deepEqual(parseDnsName('Payments.PROD.internal'), {
      ok: true,
      name: 'payments.prod.internal',
    });
    assert.deepEqual(parseDnsConstraint('.Prod.internal'), { ok: true, name: 'prod.internal' });
    const names = parseNames({ dns: ['A.example', 'a.example'], ip: ['::1', '0:0::1'] });
    assert.deepEqual(names.ok && [names.names.dns, names.names.ip], [['a.example'], ['::1']]);
  });
});

describe('name constraints', () => {
  const constraints = { permitted: ['prod.internal'], excluded: ['secret.prod.internal'] };

  it('cover a domain and everything below it, nothing beside it', () => {
    assert.equal(constraintAgainst(constraints, 'prod.internal'), undefined);
    assert.equal(constraintAgainst(constraints, 'a.b.prod.internal'), undefined);
    assert.equal(
      constraintAgainst(constraints, 'notprod.internal'),
      'permits "prod.internal" only',
    );
    assert.equal(
      constraintAgainst(constraints, 'x.secret.prod.internal'),
      'excludes "secret.prod.internal"',
    );
  });

  it('leave a pattern a name exactly if some name of it is admitted', () => {
    const label = fc.constantFrom('a', 'b', 'prod', 'internal');
    const domain = fc
      .array(label, { minLength: 1, maxLength: 3 })
      .map((labels) => labels.join('.'));
    const parts = fc.constantFrom('*', 'a', 'b', 'prod', 'internal');
    const written = fc
      .array(parts, { minLength: 1, maxLength: 4 })
      .map((labels) => labels.join('.'))
      .filter((text) => text !== '*');
    const lists = fc.array(domain, { maxLength: 2 });
    const world = ['a', 'b', 'prod', 'internal', 'zz'];
    fc.assert(
      fc.property(written, lists, lists, (text, permitted, excluded) => {
        const one = pattern(text);
        const some = namesOf(one.labels, world).some(
          (name) => constraintAgainst({ permitted, excluded }, name) === undefined,
        );
        // A pattern that is excluded piece by piece may be missed; one that is left must never be refused.
        if (some) assert.ok(constraintsLeave({ permitted, excluded }, one));
        if (excluded.length === 0)
          assert.equal(constraintsLeave({ permitted, excluded }, one), some);
      }),
      { numRuns: 300 },
    );
  });
});

describe('lifetimes', () => {
  const at = Date.UTC(2026, 5, 1, 12, 0, 0, 700);
  const issuer = { name: 'production', notBefore: at - 3_600_000, notAfter: at + 1000 * 3_600_000 };
  const ask = (askedMs: number | undefined, over = {}) =>
    decideLifetime({
      at,
      askedMs,
      defaultMs: 24 * 3_600_000,
      limits: [{ ms: 72 * 3_600_000, by: 'max_validity' }],
      issuer,
      ...over,
    });

  it('begin a minute early, or a twentieth of a short one', () => {
    const day = ask(undefined);
    assert.ok(day.ok);
    assert.equal(day.notBefore, Date.UTC(2026, 5, 1, 11, 59, 0));
    assert.equal(day.notAfter, Date.UTC(2026, 5, 2, 12, 0, 0));
    const short = ask(20_000);
    assert.ok(short.ok);
    assert.equal(short.notBefore, Date.UTC(2026, 5, 1, 11, 59, 59));
    assert.equal(short.notAfter, Date.UTC(2026, 5, 1, 12, 0, 20));
  });

  it('never last longer in all than the limit', () => {
    const longest = ask(72 * 3_600_000);
    assert.ok(longest.ok);
    assert.equal(longest.notAfter - longest.notBefore, 72 * 3_600_000);
  });

  it('are refused beyond the limit, with both sides', () => {
    const refusal = ask(73 * 3_600_000);
    assert.ok(!refusal.ok);
    assert.equal(refusal.code, 'ERR_POLICY_TTL');
    assert.equal(refusal.detail, 'lifetime "73h" is longer than max_validity "72h"');
    assert.equal(ask(999).ok, false);
  });

  it('never outlive the issuer: the default is cut, a wish is refused with the possible date', () => {
    const ends = { issuer: { ...issuer, notAfter: at + 3_600_000 } };
    const cut = ask(undefined, ends);
    assert.ok(cut.ok);
    assert.equal(cut.notAfter, Math.floor((at + 3_600_000) / 1000) * 1000);
    const refusal = ask(2 * 3_600_000, ends);
    assert.ok(!refusal.ok);
    assert.equal(refusal.code, 'ERR_POLICY_ISSUER_ENDS');
    assert.equal(refusal.fields.possibleUntil, cut.notAfter);
    assert.equal(ask(undefined, { issuer: { ...issuer, notAfter: at - 1 } }).ok, false);
  });

  it('are the same again at every renewal', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 72 * 3600 }), (seconds) => {
        const first = ask(seconds * 1000);
        assert.ok(first.ok);
        const again = ask(lifetimeOf(first));
        assert.ok(again.ok);
        assert.deepEqual(again, first);
      }),
    );
  });
});

function namesOf(labels: readonly string[], world: readonly string[]): string[] {
  return labels
    .map((label) => (label === '*' ? world : [label]))
    .reduce<string[][]>(
      (all, choices) => all.flatMap((left) => choices.map((each) => [...left, each])),
      [[]],
    )
    .map((chosen) => chosen.join('.'));
}
