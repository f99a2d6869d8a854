import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { testCa } from '@countersign/testkit';
import { bin } from './countersign.ts';
import { countersign } from './in-process.ts';

const ca = testCa();
const services = ca.intermediate({ pathLen: 0, policies: ['1.2.3.4'] });
const id = 'spiffe://example.com/payments';
const leaf = services.svid(id, { dns: ['payments.example.com'], policies: ['1.2.3.4'] });
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
const good = {
  chain: [leaf.certificatePem],
  untrusted: [base64(services.certificate.raw)],
  anchors: [ca.rootPem],
};

interface Answer {
  readonly id: unknown;
  readonly ok: boolean;
  readonly code: string | null;
  readonly detail: string | null;
}

async function answersTo(lines: readonly (object | string)[]): Promise<Answer[]> {
  const input = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
  const ran = await countersign(['verify', '--batch'], { input: input.join('\n') });
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(ran.stderr, '');
  return ran.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

test('each line is answered in order, and only the checks that its fields ask for are made', async () => {
  const crl = await services.crl([leaf.certificate]);
  const crls = [base64((await services.crl([])).raw), base64((await ca.crl([])).raw)];
  const gold = { requireExplicitPolicy: true, initialPolicySet: ['1.2.3.4'] };
  const asked = [
    { id: 1, ...good },
    { id: 'two in one entry', chain: [leaf.chainPem], anchors: [ca.rootPem] },
    { id: 3, ...good, names: [{ spiffe: id }, { dns: 'payments.example.com' }], purpose: 'client' },
    { id: 4, ...good, names: [{ spiffe: id }, { dns: 'orders.example.com' }] },
    { id: 5, ...good, at: '2099-06-01T12:00:00+05:30' },
    { id: 6, ...good, crls: [base64(crl.raw)] },
    { id: 7, ...good, maxDepth: 0 },
    { id: 8, ...good, maxDepth: 1, policy: '1.2.3.4' },
    { id: 9, ...good, policy: ['1.2.3.5', '1.2.3.6'] },
    { id: 10, chain: good.chain, untrusted: good.untrusted },
    { id: 11, ...good, crls },
    { id: 12, ...good, crls: crls.slice(0, 1) },
    { id: 13, ...good, policy: gold },
    { id: 14, ...good, policy: { ...gold, initialPolicySet: ['1.2.3.5'] } },
    { id: 15, ...good, policy: { initialPolicySet: ['1.2.3.5'], inhibitAnyPolicy: true } },
    { id: 16, ...good, policy: { requireExplicitPolicy: true, inhibitPolicyMapping: null } },
    { id: 17, ...good, crls: [] },
    { id: 18, ...good, at: null, crls: null, names: null, policy: null, maxDepth: null },
    { id: { any: ['json'] }, ...good },
    { ...good },
  ];
  const answers = await answersTo(asked);
  assert.deepEqual(
    answers.map((answer) => answer.id),
    asked.map((request) => request.id ?? null),
  );
  assert.deepEqual(
    answers.map((answer) => answer.ok),
    [
      ...[true, true, true, false, false, false, false, true, false, false],
      ...[true, false, true, false, true, true, true, true],
      ...[true, true],
    ],
  );
  for (const { ok, code, detail } of answers) {
    if (ok) assert.deepEqual([code, detail], [null, null]);
    else assert.ok(/^ERR_[A-Z_]+$/.test(code!) && detail!.length > 0);
  }
});

test('a bad line is answered with a code, and never stops the rest', async () => {
  const bad: readonly (readonly [object | string, string])[] = [
    ['{"id": 1, "chain": [', 'ERR_CLI_REQUEST'],
    ['', 'ERR_CLI_REQUEST'],
    ['[]', 'ERR_CLI_REQUEST'],
    ['null', 'ERR_CLI_REQUEST'],
    [{ ...good, purpsoe: 'server' }, 'ERR_CLI_REQUEST'],
    [{ ...good, purpose: 'mail' }, 'ERR_CLI_REQUEST'],
    [{ ...good, at: '2026-01-01' }, 'ERR_CLI_TIME'],
    [{ ...good, at: 1767225600 }, 'ERR_CLI_REQUEST'],
    [{ ...good, maxDepth: -1 }, 'ERR_CLI_REQUEST'],
    [{ ...good, names: [{ dns: 'a', ip: '10.0.0.1' }] }, 'ERR_CLI_REQUEST'],
    [{ ...good, names: ['dns:a'] }, 'ERR_CLI_REQUEST'],
    [{ ...good, policy: [] }, 'ERR_CLI_REQUEST'],
    [{ ...good, policy: 'gold' }, 'ERR_CLI_REQUEST'],
    [{ ...good, policy: { explicit: true } }, 'ERR_CLI_REQUEST'],
    [{ ...good, policy: { requireExplicitPolicy: 1 } }, 'ERR_CLI_REQUEST'],
    [{ ...good, policy: { initialPolicySet: '1.2.3' } }, 'ERR_CLI_REQUEST'],
    [{ ...good, chain: [] }, 'ERR_CLI_REQUEST'],
    [{ ...good, chain: ['not base64!'] }, 'ERR_CLI_REQUEST'],
    [{ ...good, chain: ['AAAA'] }, 'ERR_CLI_INPUT_KIND'],
    [{ ...good, chain: leaf.chainPem }, 'ERR_CLI_REQUEST'],
    [{ ...good, crls: [leaf.certificatePem] }, 'ERR_CRL_MISSING'],
    [{ ...good, anchors: [base64(ca.root.raw.subarray(0, 99))] }, 'ERR_DER_'],
  ];
  const answers = await answersTo(bad.flatMap(([line]) => [line, { id: 'still', ...good }]));
  assert.equal(answers.length, 2 * bad.length);
  for (const [i, [line, code]] of bad.entries()) {
    const answer = answers[2 * i]!;
    assert.equal(answer.ok, false);
    assert.ok(
      answer.code?.startsWith(code),
      `${JSON.stringify(line).slice(0, 80)}: ${answer.code}`,
    );
    assert.deepEqual(answers[2 * i + 1], { id: 'still', ok: true, code: null, detail: null });
  }
  assert.match(answers[8]!.detail!, /unknown key "purpsoe", nearest is "purpose"/);
});

test('what only helps to build a path does not stand in its way where it cannot be read', async () => {
  const broken = base64(services.certificate.raw.subarray(0, 99));
  const answers = await answersTo([
    { ...good, untrusted: [broken, ...good.untrusted] },
    { ...good, chain: [...good.chain, broken] },
    { ...good, untrusted: [broken, 'not base64!'] },
    { ...good, crls: [broken] },
  ]);
  assert.deepEqual(
    answers.map(({ ok, code }) => [ok, code]),
    [
      [true, null],
      [true, null],
      [false, 'ERR_PATH_NO_ISSUER'],
      [false, 'ERR_CRL_MISSING'],
    ],
  );
  assert.match(answers[2]!.detail!, /; passed over: untrusted\[0\]: .* and 1 more$/);
});

test('a line is answered before the next one is written', { timeout: 20_000 }, async (t) => {
  const child = spawn(process.execPath, [bin, 'verify', '--batch'], { stdio: 'pipe' });
  t.after(() => child.kill());
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  for (const n of [1, 2]) {
    child.stdin.write(`${JSON.stringify({ id: n, ...good })}\n`);
    assert.equal(JSON.parse((await lines.next()).value ?? '').id, n);
  }
  child.stdin.end();
  assert.ok((await lines.next()).done);
});

const limbo = new URL('../../../../shared/vectors/limbo-core.json', import.meta.url);

test('the cases of x509-limbo through the command: all of five groups, none over the time', {
  skip: existsSync(limbo) ? false : 'the vectors are not on this machine',
}, async () => {
  const { testcases } = JSON.parse(readFileSync(limbo, 'utf8'));
  const answers = await answersTo(testcases.map(limboRequest));
  const wrong = testcases
    .filter((each: LimboCase, i: number) => (each.expected_result === 'SUCCESS') !== answers[i]!.ok)
    .map((each: LimboCase) => each.id);
  assert.ok(wrong.length <= 18, `${wrong.length} differ: ${wrong.join(', ')}`);
  const whole = /^(pathlen|pathological|cve|crl|rfc5280::nc)::/;
  assert.deepEqual(
    wrong.filter((name: string) => whole.test(name)),
    [],
  );
});

interface LimboCase {
  readonly id: string;
  readonly expected_result: 'SUCCESS' | 'FAILURE';
  readonly validation_kind: 'CLIENT' | 'SERVER';
  readonly trusted_certs: string[];
  readonly untrusted_intermediates: string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly max_chain_depth: number | null;
  readonly crls: string[];
  readonly expected_peer_name: LimboName | null;
  readonly expected_peer_names: LimboName[];
}

interface LimboName {
  readonly kind: 'DNS' | 'IP' | 'RFC822';
  readonly value: string;
}

const nameKeys = { DNS: 'dns', IP: 'ip', RFC822: 'email' } as const;

function limboRequest(each: LimboCase): object {
  const names = [each.expected_peer_name, ...each.expected_peer_names].filter(
    (name) => name !== null,
  );
  return {
    id: each.id,
    chain: [each.peer_certificate],
    untrusted: each.untrusted_intermediates,
    anchors: each.trusted_certs,
    purpose: each.validation_kind.toLowerCase(),
    ...(each.validation_time !== null && { at: each.validation_time }),
    ...(each.max_chain_depth !== null && { maxDepth: each.max_chain_depth }),
    ...(each.crls.length > 0 && { crls: each.crls }),
    ...(names.length > 0 && {
      names: names.map(({ kind, value }) => ({ [nameKeys[kind]]: value })),
    }),
  };
}
