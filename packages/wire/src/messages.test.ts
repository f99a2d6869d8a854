import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CountersignError } from '@countersign/base';
import fc from 'fast-check';
import * as wire from './index.ts';

const hex64 = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((b) => Buffer.from(b).toString('hex'));
/** fast-check makes objects without a prototype, parsers ordinary ones. */
const plain = <T>(value: T): T => structuredClone(value);
const position = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const instant = fc.integer({ min: 0, max: 4_000_000_000_000 });
const bytes = fc.uint8Array({ minLength: 1, maxLength: 200 });
const reason = fc.constantFrom(...wire.reasonWords);
const count = fc.nat(100_000);
const optional = <T, K extends string>(name: K, value: fc.Arbitrary<T>) =>
  fc
    .option(value, { nil: undefined })
    .map((v) => (v === undefined ? {} : { [name]: v })) as fc.Arbitrary<{ [P in K]?: T }>;

const token = fc
  .tuple(fc.uint8Array({ minLength: 40, maxLength: 40 }), hex64)
  .map(([random, root]) => {
    let at = 0;
    return wire.createJoinToken((size) => {
      at += size;
      return random.slice(at - size, at);
    }, root);
  });
const names = fc.array(fc.domain(), { maxLength: 4 });
const merged = <T extends object[]>(...parts: { [I in keyof T]: fc.Arbitrary<T[I]> }) =>
  fc.tuple(...(parts as fc.Arbitrary<object>[])).map((each) => Object.assign({}, ...each));
const ttl = optional('ttlMs', fc.integer({ min: 1000, max: 86_400_000 }));
const word = fc.string({ minLength: 1, maxLength: 64 });
const wishes = merged(ttl, optional('profile', word), optional('issuer', word));
const moments = fc.integer({ min: 0, max: 4_000_000_000_000 });
const spiffePrefix = 'spiffe://example.com/ns/prod/';
/** What a revocation names, as the feed writes it. */
const named = fc.oneof(
  hex64.map((value) => ({ by: 'key', value })),
  fc.constantFrom(
    { by: 'serial', value: 'a1' },
    { by: 'spiffe-id', value: 'spiffe://example.com/a' },
    { by: 'spiffe-prefix', value: spiffePrefix },
    { by: 'issuer', value: `services ${'ab'.repeat(32)},${'cd'.repeat(32)}` },
    { by: 'provisioner', value: 'operator' },
    { by: 'provisioner', value: `spiffe://example.com/${'a'.repeat(2027)}` },
    { by: 'token', value: '0123456789abcdef' },
    { by: 'time', value: '2026-01-01T00:00:00.000Z/..' },
    { by: 'time', value: `../2026-01-01T00:00:00.000Z spiffe-prefix ${spiffePrefix}` },
  ),
);
const gateway = fc.record({
  id: fc.string({ minLength: 1, maxLength: 20 }),
  spiffeId: fc.constant('spiffe://example.com/gateway'),
  acknowledged: fc.boolean(),
  closed: count,
  ms: fc.double({ min: 0, max: 1e6, noNaN: true }),
  lastSeenMsAgo: count,
});

/** Every message: how to make one, write it, read it back, and whether unknown members are refused. */
const messages: Record<
  string,
  {
    make: fc.Arbitrary<object>;
    format: (m: never) => string;
    parse: (j: unknown) => object;
    strict: boolean;
  }
> = {
  'renew request': {
    make: merged(fc.record({ csr: bytes }), wishes),
    format: wire.formatRenewRequest,
    parse: wire.parseRenewRequest,
    strict: true,
  },
  'issue request': {
    make: merged(fc.record({ csr: bytes, dns: names, ip: names }), wishes),
    format: wire.formatAdminIssueRequest,
    parse: wire.parseAdminIssueRequest,
    strict: true,
  },
  'token request': {
    make: merged(fc.record({ dns: names, ip: names }), ttl),
    format: wire.formatTokenRequest,
    parse: wire.parseTokenRequest,
    strict: true,
  },
  explanation: {
    make: merged(
      fc.record({
        decision: fc.constantFrom('allow', 'deny'),
        names: fc.constant(['dns:a.example']),
        refusals: fc.array(
          merged(
            fc.record({
              code: fc.constant('ERR_POLICY_RULE'),
              detail: word,
              passIf: word,
            }),
            optional(
              'closest',
              fc.record({
                name: word,
                clauses: fc.array(fc.record({ clause: word, ok: fc.boolean(), detail: word }), {
                  maxLength: 3,
                }),
              }),
            ),
          ),
          { maxLength: 3 },
        ),
      }),
      optional(
        'certificate',
        fc.record({ issuer: word, profile: word, notBefore: instant, notAfter: instant }),
      ),
    ),
    format: wire.formatIssueExplanation,
    parse: wire.parseIssueExplanation,
    strict: false,
  },
  'issue response': {
    make: fc.record({
      spiffeId: fc.constant('spiffe://example.com/a'),
      serial: fc.constant('01000000000000002a0102030405060708090a0b'.replace(/^0/, '')),
      notAfter: instant,
      chain: fc.array(bytes, { minLength: 1, maxLength: 3 }),
      bundle: fc.constant({ keys: [] }),
      trustDomain: fc.constant('example.com'),
    }),
    format: wire.formatIssueResponse,
    parse: wire.parseIssueResponse,
    strict: false,
  },
  'revoke request': {
    make: merged(
      fc.oneof(
        named,
        fc.constant({ by: 'issuer', value: 'services' }),
        moments.map((after) => ({ by: 'time', value: wire.formatRevocationWindow({ after }) })),
      ),
      fc.record({ reason, block: fc.boolean(), dryRun: fc.boolean() }),
      optional('waitMs', fc.nat(60_000)),
      optional('wholeTrustDomain', fc.constant(true)),
    ),
    format: wire.formatRevokeRequest,
    parse: wire.parseRevokeRequest,
    strict: true,
  },
  'revoke response': {
    make: merged(
      fc.record({
        position,
        by: fc.constantFrom(...wire.revocationBys),
        value: fc.string({ minLength: 1, maxLength: 50 }),
        reason,
        matched: count,
        gateways: fc.array(gateway, { maxLength: 3 }),
        closed: count,
        acknowledgedBy: count,
        elapsedMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
        dryRun: fc.boolean(),
      }),
      optional('wouldClose', count),
      optional('earlierAt', count),
      optional('inForce', fc.constant('services.2')),
      optional('neverIssued', fc.constant(true)),
      optional('nearest', fc.constant('spiffe://example.com/a')),
    ),
    format: wire.formatRevokeResponse,
    parse: wire.parseRevokeResponse,
    strict: false,
  },
  'status response': {
    make: fc.record({
      version: fc.constant('0.1.0'),
      trustDomain: fc.constant('example.com'),
      rootFingerprint: hex64,
      ledger: fc.record({ position, revocationPosition: count, issued: count, revoked: count }),
      gateways: fc.array(
        fc.record({
          id: fc.constant('g1'),
          spiffeId: fc.constant(''),
          position,
          lastSeenMsAgo: count,
        }),
        { maxLength: 2 },
      ),
      intermediates: fc.array(
        fc.record({ name: fc.constant('services'), fingerprint: hex64, notAfter: instant }),
        { maxLength: 2 },
      ),
      uptimeMs: count,
    }),
    format: wire.formatStatusResponse,
    parse: wire.parseStatusResponse,
    strict: false,
  },
  'lease request': {
    make: fc.oneof(
      merged(
        fc.record({
          release: fc.constant(false),
          instance: fc.constant('0123456789abcdef'),
          maxSilenceMs: fc.integer({ min: 1000, max: 86_400_000 }),
          position: count,
        }),
        optional(
          'closed',
          fc.record({
            closed: count,
            kept: count,
            elapsedMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
            codes: fc.dictionary(fc.constantFrom('ERR_PEER_REVOKED', 'ERR_PEER_EXPIRED'), count, {
              noNullPrototype: true,
            }),
          }),
        ),
        optional(
          'answers',
          fc.array(fc.record({ id: fc.constant('0123456789abcdef'), wouldClose: count }), {
            maxLength: 3,
          }),
        ),
      ),
      fc.constant({ release: true, instance: '0123456789abcdef' }),
    ),
    format: wire.formatLeaseRequest,
    parse: wire.parseLeaseRequest,
    strict: true,
  },
  'lease response': {
    make: fc.record({ expiresAt: instant, position: count }),
    format: wire.formatLeaseResponse,
    parse: wire.parseLeaseResponse,
    strict: false,
  },
  'feed frame': {
    make: fc.oneof(
      fc.record({ type: fc.constant('heartbeat'), position: count, at: instant }),
      fc.record({
        type: fc.constant('hello'),
        trustDomain: fc.constant('example.com'),
        anchors: fc.array(hex64, { minLength: 1, maxLength: 3 }),
        position: count,
        heartbeatMs: fc.integer({ min: 10, max: 60_000 }),
      }),
      merged(
        fc.record({ type: fc.constant('revocation'), position, reason, at: instant }),
        named,
        optional('block', fc.boolean()),
        optional('pages', count),
        optional('until', instant),
      ).map((frame) => ({ ...frame, previous: frame.position - 1 })),
      fc.record({
        type: fc.constant('covered'),
        position: count,
        page: count,
        runs: fc.constantFrom([], [1, 1], [3, 9, 11, 11]),
      }),
      merged(
        fc.record({
          type: fc.constant('question'),
          position: count,
          id: fc.constant('0123456789abcdef'),
          below: position,
        }),
        named,
        optional('pages', count),
      ),
    ),
    format: wire.formatFeedFrame,
    parse: wire.parseFeedFrame,
    strict: true,
  },
};

for (const [name, { make, format, parse, strict }] of Object.entries(messages)) {
  test(`a ${name} comes back from its own text as it was`, () => {
    fc.assert(
      fc.property(make.map(plain), (message) => {
        assert.deepEqual(parse(JSON.parse(format(message as never))), message);
      }),
      { numRuns: 60 },
    );
  });

  test(`a ${name} with a member missing, of another kind or unknown is refused by name`, () => {
    fc.assert(
      fc.property(make.map(plain), fc.nat(), fc.jsonValue(), (message, pick, junk) => {
        const json = JSON.parse(format(message as never)) as Record<string, unknown>;
        const names = Object.keys(json);
        const member = names[pick % names.length] ?? '';
        for (const changed of [
          { ...json, [member]: junk },
          { ...json, [member]: undefined },
        ]) {
          try {
            parse(changed);
          } catch (thrown) {
            assert.ok(thrown instanceof CountersignError, String(thrown));
            assert.match(thrown.code, /^ERR_WIRE_/);
          }
        }
        if (strict) {
          assert.throws(() => parse({ ...json, [`${member}z`]: 1 }), {
            code: 'ERR_WIRE_UNKNOWN_MEMBER',
            message: new RegExp(`nearest is "${member}"`),
          });
        } else {
          assert.deepEqual(parse({ ...json, later: 1 }), message);
        }
      }),
      { numRuns: 60 },
    );
  });
}

test('any JSON value to any parser is a message or an ERR_WIRE_ error', () => {
  for (const { parse } of Object.values(messages)) {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        try {
          parse(json);
        } catch (thrown) {
          assert.ok(thrown instanceof CountersignError, String(thrown));
        }
      }),
      { numRuns: 40 },
    );
  }
});

test('an enrol request carries its token and never shows it elsewhere', () => {
  fc.assert(
    fc.property(token, bytes, (made, csr) => {
      const written = wire.revealJoinToken(made);
      const secret = written.split('.')[2] ?? '';
      const read = wire.parseEnrolRequest(
        JSON.parse(wire.formatEnrolRequest({ token: made, csr })),
      );
      assert.equal(wire.revealJoinToken(read.token), written);
      assert.equal(wire.secretHashOf(read.token), wire.secretHashOf(made));
      assert.ok(!JSON.stringify(read).includes(secret));
    }),
  );
});

test('a damaged join token is refused without being quoted', () => {
  fc.assert(
    fc.property(
      token,
      fc.nat(),
      fc.string({ minLength: 1, maxLength: 1 }),
      (made, pick, character) => {
        const written = wire.revealJoinToken(made);
        const at = pick % written.length;
        const damaged = written.slice(0, at) + character + written.slice(at + 1);
        try {
          // Another digit in its place is another token; then it must round-trip as that one.
          assert.equal(wire.revealJoinToken(wire.parseJoinToken(damaged)), damaged.trim());
        } catch (thrown) {
          assert.ok(thrown instanceof CountersignError, String(thrown));
          assert.equal(thrown.code, 'ERR_WIRE_TOKEN');
          assert.ok(!thrown.message.includes(written.split('.')[2] ?? ''));
        }
      },
    ),
  );
  assert.throws(() => wire.parseJoinToken('cst1.a.b'), { code: 'ERR_WIRE_TOKEN' });
});

test('a fingerprint is read with colons, upper case and a prefix, and refused otherwise', () => {
  const plain = 'ab'.repeat(32);
  for (const text of [
    plain,
    plain.toUpperCase(),
    'AB:'.repeat(31).concat('AB'),
    `sha256:${plain}`,
  ]) {
    assert.equal(wire.parseFingerprint(text), plain);
  }
  assert.throws(() => wire.parseFingerprint(plain.slice(1)), { code: 'ERR_WIRE_FINGERPRINT' });
});

test('a revoke request says exactly one thing', () => {
  const both = { serial: 'a1', spiffeId: 'spiffe://example.com/a', reason: 'superseded' };
  assert.throws(
    () => wire.parseRevokeRequest(both),
    /exactly one is expected; found serial and spiffeId/,
  );
  assert.throws(() => wire.parseRevokeRequest({ reason: 'superseded' }), /exactly one is expected/);
  assert.throws(() => wire.parseRevokeRequest({ serial: 'a1', issuedAfter: 0 }), /one certificate/);
  assert.throws(
    () => wire.parseRevokeRequest({ issuedAfter: 5, issuedBefore: 5 }),
    /expected less than issuedBefore 5/,
  );
});

test('a feed frame whose value no certificate could have is refused, whatever its kind', () => {
  const frame = { type: 'revocation', position: 2, previous: 1, reason: 'superseded', at: 0 };
  const wrong = {
    serial: 'A1',
    'spiffe-id': 'spiffe://example.com',
    'spiffe-prefix': 'spiffe://example.com/ns',
    key: 'ab',
    issuer: 'services',
    provisioner: '',
    token: 'cst1.0123456789abcdef',
    time: '2026-01-01/..',
  };
  for (const [by, value] of Object.entries(wrong)) {
    assert.throws(() => wire.parseFeedFrame({ ...frame, by, value }), { code: 'ERR_WIRE_FEED' });
  }
  for (const window of ['../..', '../2026-01-01T00:00:00.000Z key ab']) {
    assert.throws(
      () => wire.parseFeedFrame({ ...frame, by: 'time', value: window }),
      /member "value"/,
    );
  }
  for (const runs of [[1], [2, 1], [1, 3, 3, 4], [0, 1], [1, 1.5]]) {
    const covered = { type: 'covered', position: 2, page: 0, runs };
    assert.throws(() => wire.parseFeedFrame(covered), { code: 'ERR_WIRE_FEED' });
  }
});

test('a body that is no JSON, no UTF-8 or too long is refused without being quoted', () => {
  const read = (body: Uint8Array | string) => wire.parseJsonBody(body, 'enrol request', 64);
  assert.throws(
    () => read('{"token":"cst1.secret'),
    (thrown: CountersignError) => {
      assert.equal(thrown.code, 'ERR_WIRE_JSON');
      assert.ok(!`${thrown.message}${thrown.cause}`.includes('secret'));
      return true;
    },
  );
  assert.throws(() => read(new Uint8Array([0x22, 0xff, 0x22])), { code: 'ERR_WIRE_JSON' });
  assert.throws(() => read(' '.repeat(65)), { code: 'ERR_WIRE_TOO_LARGE' });
});

test('every route is found by its method and path, and a wrong method is told from a wrong path', () => {
  for (const route of Object.values(wire.routes)) {
    assert.deepEqual(wire.findRoute(route.method, route.path), { route });
  }
  assert.deepEqual(wire.findRoute('DELETE', '/v1/enrol'), { refused: 'method', allow: 'POST' });
  assert.deepEqual(wire.findRoute('GET', '/v1/enrolment'), { refused: 'path' });
});
