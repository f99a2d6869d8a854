import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseNames } from './certificate-names.ts';
import { linksAgainst } from './constraints/name-constraints.ts';
import {
  constraintsLeave,
  type DnsConstraints,
  matchesDnsPattern,
  parseDnsConstraint,
  parseDnsName,
  parseDnsPattern,
} from './dns-name.ts';
import { decideLifetime } from './lifetime-policy.ts';
import type { LifetimeProfile } from './profile/certificate-profile.ts';

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

function constraintAgainst(written: DnsConstraints, value: string): string | undefined {
  const of = (names: readonly string[]) =>
    names.map((each) => ({ base: { kind: 'dns', value: each } as const }));
  const link = { permitted: of(written.permitted), excluded: of(written.excluded) };
  return linksAgainst([link], { kind: 'dns', value });
}

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
  const hour = 3_600_000;
  const at = Date.UTC(2026, 5, 1, 12, 0, 0, 700);
  const issuer = { name: 'production', notBefore: at - 3_600_000, notAfter: at + 1000 * 3_600_000 };
  const profile: LifetimeProfile = {
    validityMs: 24 * hour,
    minMs: 1000,
    maxMs: 72 * hour,
    maxBy: 'max_validity',
    backdateMs: undefined,
    jitterMs: 0,
    beyondChain: 'refuse',
  };
  const ask = (askedMs: number | undefined, over = {}) =>
    decideLifetime({
      at,
      askedMs,
      profile,
      issuer,
      random: () => 0.5,
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
        const again = ask(undefined, { renewed: first });
        assert.deepEqual(again, first);
      }),
    );
  });

  it('are the same again with any backdating, and whatever was drawn for the first', () => {
    const seconds = (most: number) => fc.integer({ min: 1, max: most });
    fc.assert(
      fc.property(seconds(72 * 3600), seconds(24 * 3600), fc.nat(3600), (life, back, spread) => {
        const lifetime = {
          ...profile,
          validityMs: life * 1000,
          backdateMs: back * 1000,
          jitterMs: Math.min(spread, life / 2) * 1000,
        };
        const old = { ...issuer, notBefore: at - 48 * hour };
        const first = ask(undefined, { profile: lifetime, issuer: old, random: () => 0.9 });
        assert.ok(first.ok);
        assert.ok(first.notAfter - Math.floor(at / 1000) * 1000 >= 1000);
        assert.ok(first.notAfter - first.notBefore <= lifetime.maxMs);
        const renew = (renewed: object) =>
          ask(undefined, { profile: lifetime, issuer: old, renewed });
        const second = renew(first);
        assert.ok(second.ok);
        assert.deepEqual(renew(second), second);
      }),
    );
  });

  it('begin as early as the profile says', () => {
    const back = ask(hour, { profile: { ...profile, backdateMs: 10 * 60_000 } });
    assert.ok(back.ok);
    assert.equal(back.notBefore, Date.UTC(2026, 5, 1, 11, 50, 0));
    assert.equal(back.notAfter, Date.UTC(2026, 5, 1, 13, 0, 0));
  });

  it('end earlier by chance where the profile says so, never below its least', () => {
    const spread = { ...profile, jitterMs: 6 * hour };
    const drawn = ask(undefined, { profile: spread });
    assert.ok(drawn.ok);
    assert.equal(drawn.notAfter, Date.UTC(2026, 5, 2, 9, 0, 0));
    const least = ask(undefined, {
      profile: { ...spread, minMs: 23 * hour },
      random: () => 0.999,
    });
    assert.ok(least.ok && least.notAfter >= Date.UTC(2026, 5, 2, 11, 0, 0));
  });

  it('are no shorter than the least of the profile', () => {
    const refusal = ask(hour - 1000, { profile: { ...profile, minMs: hour } });
    assert.ok(!refusal.ok);
    assert.equal(refusal.detail, 'lifetime "59m59s" is shorter than the least of "1h"');
  });

  it('are cut at the end of the chain where the profile clamps, as long as the least is left', () => {
    const ends = { issuer: { ...issuer, notAfter: at + hour } };
    const clamping = { ...profile, beyondChain: 'clamp' as const };
    const cut = ask(2 * hour, { ...ends, profile: clamping });
    assert.ok(cut.ok);
    assert.equal(cut.notAfter, Math.floor((at + hour) / 1000) * 1000);
    const short = ask(3 * hour, { ...ends, profile: { ...clamping, minMs: 2 * hour } });
    assert.ok(!short.ok);
    assert.equal(short.code, 'ERR_POLICY_ISSUER_ENDS');
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
