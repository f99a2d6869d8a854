import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { formatBundleDocument } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { encodePem } from '@countersign/x509';
import { temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';
import { serveTls } from './tls-server.ts';

const ca = testCa();
const stranger = testCa({ name: 'stranger' });
const services = ca.intermediate({ pathLen: 0 });
const id = 'spiffe://example.com/payments';
const payments = services.svid(id, { dns: ['payments.example.com'], ip: ['127.0.0.1'] });
let directory = '';
const file = (name: string) => join(directory, name);

before(async (t) => {
  directory = await temporaryDirectory(t as never);
  const crl = await services.crl([payments.certificate]);
  const files: Readonly<Record<string, string | Uint8Array>> = {
    'roots.pem': ca.rootPem,
    'roots.json': formatBundleDocument({ trustDomain: 'example.com', authorities: [ca.root] }),
    'stranger.pem': stranger.rootPem,
    'chain.pem': payments.chainPem,
    'leaf.der': payments.certificate.raw,
    'intermediate.pem': services.certificatePem,
    'list.pem': encodePem('X509 CRL', crl.raw),
    'free-list.pem': encodePem('X509 CRL', (await services.crl([])).raw),
    'root-list.pem': encodePem('X509 CRL', (await ca.crl([])).raw),
  };
  for (const [name, content] of Object.entries(files)) await writeFile(file(name), content);
});

const verify = (...words: string[]) => countersign(['verify', ...words]);

test('a good chain is accepted, with everything that was asked of it in the answer', async () => {
  const [text, json, der] = await Promise.all([
    verify('--bundle', file('roots.pem'), '--purpose', 'client', '--name', id, file('chain.pem')),
    verify(
      '--bundle',
      file('roots.json'),
      '-o',
      'json',
      '--name',
      'ip:127.0.0.1',
      file('chain.pem'),
    ),
    verify(
      '--bundle',
      file('roots.pem'),
      '--untrusted',
      file('intermediate.pem'),
      file('leaf.der'),
    ),
  ]);
  for (const ran of [text, json, der]) {
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(ran.stderr, '');
  }
  assert.match(
    text.stdout,
    /^ok .*chain\.pem at .*, purpose client, spiffe spiffe:\/\/example\.com/,
  );
  assert.match(text.stdout, /trust anchor/);
  const answer = JSON.parse(json.stdout);
  assert.equal(answer.ok, true);
  assert.equal(answer.code, null);
  assert.deepEqual(answer.names, [{ ip: '127.0.0.1' }]);
  assert.equal(answer.chain.length, 3);
});

test('lists of every issuer, and policies that nobody requires, are accepted', async () => {
  const lists = ['--crl', file('free-list.pem'), '--crl', file('root-list.pem')];
  const [listed, plain] = await Promise.all([
    verify('--bundle', file('roots.pem'), ...lists, file('chain.pem')),
    verify(
      '--bundle',
      file('roots.pem'),
      '--inhibit-any-policy',
      '--inhibit-policy-mapping',
      file('chain.pem'),
    ),
  ]);
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stdout, /not revoked/);
  assert.equal(plain.code, 0, plain.stderr);
});

/** Each changes one thing of what is accepted above; the answer names that rule and both sides. */
const refusals: readonly {
  readonly why: string;
  readonly words: (f: typeof file) => string[];
  readonly code: RegExp;
  readonly said: RegExp;
}[] = [
  {
    why: 'another root',
    words: (f) => ['--bundle', f('stranger.pem'), f('chain.pem')],
    code: /^ERR_PATH_/,
    said: /test root/,
  },
  {
    why: 'a later time',
    words: (f) => ['--bundle', f('roots.pem'), '--at', '2099-01-01T00:00:00+02:00', f('chain.pem')],
    code: /^ERR_CERT_EXPIRED$/,
    said: /2098-12-31T22:00:00/,
  },
  {
    why: 'another name',
    words: (f) => ['--bundle', f('roots.pem'), '--name', 'dns:orders.example.com', f('chain.pem')],
    code: /^ERR_NAME_MISMATCH$/,
    said: /orders\.example\.com.*payments\.example\.com|payments\.example\.com.*orders\.example\.com/,
  },
  {
    why: 'one of two names',
    words: (f) => ['--bundle', f('roots.pem'), '--name', id, '--name', `${id}2`, f('chain.pem')],
    code: /^ERR_NAME_MISMATCH$/,
    said: /payments2/,
  },
  {
    why: 'a revocation list',
    words: (f) => ['--bundle', f('roots.pem'), '--crl', f('list.pem'), f('chain.pem')],
    code: /REVOKED/,
    said: /keyCompromise/,
  },
  {
    why: 'too few intermediates allowed',
    words: (f) => ['--bundle', f('roots.pem'), '--max-depth', '0', f('chain.pem')],
    code: /^ERR_PATH_/,
    said: /1.*0|0.*1/,
  },
  {
    why: 'no list about the leaf',
    words: (f) => ['--bundle', f('roots.pem'), '--crl', f('root-list.pem'), f('chain.pem')],
    code: /^ERR_CRL_MISSING$/,
    said: /no revocation list that was given is about it/,
  },
  {
    why: 'a policy that is required and asserted by none',
    words: (f) => ['--bundle', f('roots.pem'), '--explicit-policy', f('chain.pem')],
    code: /POLICY/,
    said: /explicit policy/,
  },
  {
    why: 'a policy that no certificate has',
    words: (f) => ['--bundle', f('roots.pem'), '--policy', '1.2.3.4', f('chain.pem')],
    code: /POLICY/,
    said: /explicit policy/,
  },
  {
    why: 'no intermediate',
    words: (f) => ['--bundle', f('roots.pem'), f('leaf.der')],
    code: /^ERR_PATH_/,
    said: /test intermediate/,
  },
];

test('a refused chain is exit code 1, naming the first rule that fails and both sides', async () => {
  const ran = await Promise.all(refusals.map(({ words }) => verify(...words(file))));
  for (const [i, { why, code, said }] of refusals.entries()) {
    const { code: exit, stdout, stderr } = ran[i]!;
    assert.equal(exit, 1, `${why}: ${stderr}`);
    assert.equal(stdout, '');
    const [reason = '', hint = '', last = ''] = stderr.split('\n');
    assert.match(reason, /^verify ".*": /);
    assert.match(reason, said, why);
    assert.match(hint, /^hint: ./);
    assert.match(last, code, why);
  }
});

test('a refusal as JSON is the answer on standard output, with exit code 1', async () => {
  const ran = await verify('--bundle', file('stranger.pem'), '-o', 'json', file('chain.pem'));
  assert.equal(ran.code, 1);
  assert.equal(ran.stderr, '');
  const answer = JSON.parse(ran.stdout);
  assert.equal(answer.ok, false);
  assert.match(answer.code, /^ERR_PATH_/);
  assert.ok(answer.detail.length > 0 && answer.hint.length > 0);
});

test('an address is judged by what it presents, for the host of the URL unless names are given', async (t) => {
  const right = await serveTls(t, payments);
  const wrong = await serveTls(t, services.svid(id, { dns: ['payments.example.com'] }));
  const [ip, named, other] = await Promise.all([
    verify('--bundle', file('roots.pem'), `https://127.0.0.1:${right}`),
    verify('--bundle', file('roots.pem'), '--name', id, `https://127.0.0.1:${wrong}`),
    verify('--bundle', file('roots.pem'), `https://127.0.0.1:${wrong}`),
  ]);
  assert.equal(ip.code, 0, ip.stderr);
  assert.match(ip.stdout, /purpose server, ip 127\.0\.0\.1/);
  assert.equal(named.code, 0, named.stderr);
  assert.equal(other.code, 1);
  assert.match(other.stderr, /127\.0\.0\.1/);
});

test('a question that makes no sense is exit code 2', async () => {
  const bad = [
    ['--at', 'yesterday', '--bundle', file('roots.pem'), file('chain.pem')],
    ['--at', '2026-02-30T00:00:00Z', '--bundle', file('roots.pem'), file('chain.pem')],
    ['--name', 'payments', '--bundle', file('roots.pem'), file('chain.pem')],
    ['--policy', 'any', '--bundle', file('roots.pem'), file('chain.pem')],
    ['--batch', '--at', '2026-01-01T00:00:00Z'],
    [file('chain.pem')],
    ['--bundle', file('roots.pem')],
  ];
  const ran = await Promise.all(bad.map((words) => verify(...words)));
  assert.deepEqual(
    ran.map(({ code }) => code),
    bad.map(() => 2),
  );
  assert.deepEqual(
    ran.map(({ stderr }) => stderr.trim().split('\n').at(-1)),
    [
      'ERR_CLI_TIME',
      'ERR_CLI_TIME',
      'ERR_CLI_NAME',
      'ERR_USAGE',
      'ERR_USAGE',
      'ERR_USAGE',
      'ERR_USAGE',
    ],
  );
});
