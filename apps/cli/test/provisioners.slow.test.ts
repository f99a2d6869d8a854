import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { certificatesFromPem, formatGeneralName } from '@countersign/x509';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

const hierarchy = `ca:
  root: { curve: P-256, validity: 720h }
  intermediate: { services: { curve: P-256, validity: 168h } }
`;

test('the commands of docs/provisioners.md enrol with a service account and a one-time token', async (t) => {
  const text = await readFile(new URL('../../../docs/provisioners.md', import.meta.url), 'utf8');
  const [, example = ''] = /```yaml\n([\s\S]*?)```/.exec(text) ?? [];
  const [, commands = ''] = /```sh\n([\s\S]*?)```/.exec(text) ?? [];
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k' }] });
  const token = (claims: object): string => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const exp = Math.floor(Date.now() / 1000) + 300;
    const signed = `${part({ alg: 'ES256', kid: 'k' })}.${part({ exp, ...claims })}`;
    const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const;
    return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`;
  };
  await Promise.all([
    writeFile(file('cluster.jwks'), jwks),
    writeFile(file('operators.jwks'), jwks),
    writeFile(
      file('cluster.jwt'),
      token({
        iss: 'https://kubernetes.default.svc.cluster.local',
        sub: 'system:serviceaccount:shop:cart',
        aud: ['countersign'],
      }),
    ),
    writeFile(
      file('operators.jwt'),
      token({
        ...{ iss: 'operators', sub: 'web', aud: 'https://ca.internal/1.0/sign', jti: randomUUID() },
        sans: ['spiffe://example.com/web', 'web.example.test'],
      }),
    ),
    writeFile(file('ca.yaml'), `${hierarchy}${example.replaceAll('/etc/countersign', directory)}`),
  ]);
  const words = ['--config', file('ca.yaml'), '--data', file('state')];
  const made = await countersign(['init', ...words]);
  assert.equal(made.code, 0, made.stderr);
  const serve = ['ca', 'serve', ...words, '--port', '0'];
  const server = await startCountersign(t, serve, { timeoutMs: 600_000 });
  const lines = commands.trim().split('\n');
  assert.equal(lines.length, 2);
  const run = async (line: string) => {
    const filled = line
      .replace('$CA', server.urls[0] ?? '')
      .replace('$ROOT', made.stdout.trim())
      .replace('@', `@${directory}/`)
      .replace('--out ', `--out ${directory}/`);
    return await countersign(filled.split(' ').slice(1));
  };
  for (const line of lines) assert.equal((await run(line)).code, 0, line);
  const names = async (out: string) => {
    const [leaf] = certificatesFromPem(await readFile(file(`${out}/cert.pem`)));
    return leaf?.subjectAltNames.map(formatGeneralName);
  };
  assert.deepEqual(await names('cart'), ['uri:spiffe://example.com/ns/shop/sa/cart']);
  assert.deepEqual(await names('web'), ['uri:spiffe://example.com/web', 'dns:web.example.test']);

  // A one-time token is spent; a JWT without a pin, or with a wish for a profile, goes nowhere.
  const again = await run(lines[1]?.replace('--out web', '--out again') ?? '');
  assert.deepEqual(
    [again.code, /ERR_PROVISIONER_USED/.test(again.stderr)],
    [1, true],
    again.stderr,
  );
  const bare = await run(lines[0]?.replace('--fingerprint $ROOT ', '') ?? '');
  assert.match(bare.stderr, /ERR_IDENTITY_BEARER/);
  const wished = await run(`${lines[0]} --profile gold`);
  assert.match(wished.stderr, /ERR_IDENTITY_BEARER/);
  await server.end();
});
