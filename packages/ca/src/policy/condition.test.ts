import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ConditionAnswer, type ConditionFacts, compileCondition } from './condition.ts';

const facts: ConditionFacts = {
  spiffeId: 'spiffe://example.com/ns/prod/sa/payments',
  dns: ['payments.prod.internal', 'www.payments.prod.internal'],
  ip: [],
  names: ['uri:spiffe://example.com/ns/prod/sa/payments', 'dns:payments.prod.internal'],
  provisioner: 'operator',
  caller: 'token',
  profile: '',
  key: 'ECDSA P-256',
  ttlSeconds: 3600,
  at: Date.UTC(2026, 5, 1, 12),
};

function ask(source: string, over: Partial<ConditionFacts> = {}): ConditionAnswer {
  const compiled = compileCondition(source);
  assert.ok(compiled.ok, compiled.ok ? '' : `${source}: ${compiled.wrong}`);
  return compiled.condition.ask({ ...facts, ...over });
}

function wrongWith(source: string): string {
  const compiled = compileCondition(source);
  assert.ok(!compiled.ok, `"${source}" was compiled`);
  return compiled.wrong;
}

describe('a condition in CEL', () => {
  it('answers about names, caller, key, lifetime and time', () => {
    assert.equal(ask('dns.all(n, n.endsWith(".prod.internal"))'), true);
    assert.equal(ask('size(names) > 2'), false);
    assert.equal(ask('caller == "token" && provisioner in ["operator", "acme"]'), true);
    assert.equal(ask('key.startsWith("RSA") || ttlSeconds > 7200'), false);
    assert.equal(ask('at.getHours() >= 8 && at.getHours() < 18'), true);
    assert.equal(ask('spiffeId.split("/")[6] == dns[0].split(".")[0]'), true);
  });

  it('knows regular expressions, in linear time', () => {
    assert.equal(ask('dns.exists(n, n.matches("^www\\\\.[a-z]+\\\\."))'), true);
    assert.equal(ask(`spiffeId.matches(r'^spiffe://[^/]+/ns/prod/')`), true);
    const started = performance.now();
    assert.equal(ask('spiffeId.matches("^(a+)+$")', { spiffeId: `${'a'.repeat(2000)}!` }), false);
    assert.ok(performance.now() - started < 20_000);
  });

  it('is unknown where it asks about what is not known yet, and fails where it cannot be answered', () => {
    assert.equal(ask('key == "Ed25519"', { key: undefined }), 'unknown');
    assert.equal(ask('caller == "token"', { key: undefined }), true);
    const answer = ask('ip[0] == "10.0.0.1"');
    assert.ok(typeof answer === 'object' && answer.failed.length > 0);
  });

  it('is refused where it is misspelt, of another type, or without bounds', () => {
    assert.match(wrongWith('caler == "token"'), /unknown variable: caler at character 1/);
    assert.match(wrongWith('size(names)'), /gives int, a condition gives bool/);
    assert.match(wrongWith('size(names) <'), /unexpected token.* at character 14/);
    assert.match(wrongWith('caller == 1'), /no such overload|not defined/);
    assert.match(wrongWith('caller.matches(spiffeId)'), /something other than a text in quotes/);
    assert.match(wrongWith('caller.matches("(")'), /has the pattern "\("/);
    assert.match(
      wrongWith('names.all(a, names.all(b, names.all(c, a == b || b == c)))'),
      /more than 2 of all/,
    );
    assert.match(wrongWith(`"${'x'.repeat(5000)}" == caller`), /at most 4000/);
    assert.match(wrongWith(Array.from({ length: 400 }, () => 'true').join(' && ')), /maxAstNodes/i);
  });
});
