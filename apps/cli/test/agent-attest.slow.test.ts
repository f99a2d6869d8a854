import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { awsDocument, awsRegion } from '@countersign/testkit';
import { certificatesFromPem, formatGeneralName } from '@countersign/x509';
import { skipAgent } from './agent-of-authority.ts';
import { authorityYaml } from './authority-files.ts';
import { countersign, type Started, startCountersign, temporaryDirectory } from './countersign.ts';
import { startMetadata } from './metadata-service.ts';
import { tokenIssuer } from './signed-token.ts';

const timeoutMs = 300_000;
const cluster = 'https://kubernetes.default.svc';

/** An authority with provisioners for a cluster, an OIDC issuer and AWS. */
async function startWorld(t: TestContext) {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const issuer = tokenIssuer();
  const forge = createServer((request, response) => {
    const at = `http://127.0.0.1:${(forge.address() as AddressInfo).port}`;
    const discovery = JSON.stringify({ issuer: at, jwks_uri: `${at}/jwks` });
    response.end(request.url === '/jwks' ? issuer.jwks : discovery);
  });
  await new Promise<void>((resolve) => forge.listen(0, '127.0.0.1', resolve));
  t.after(() => forge.close());
  const forgeAt = `http://127.0.0.1:${(forge.address() as AddressInfo).port}`;
  const aws = await awsRegion();
  await writeFile(file('cluster.jwks'), issuer.jwks);
  await writeFile(file('aws.pem'), aws.pem);
  const provisioners = `provisioners:
  - name: cluster
    type: kubernetes
    issuer: ${cluster}
    jwks_file: ${file('cluster.jwks')}
    audiences: [countersign]
    claims: { sub: 'system:serviceaccount:agents:*' }
    spiffe_id: spiffe://example.com/agent/{serviceaccount}
    lifetime: 5s
  - name: forge
    type: oidc
    issuer: ${forgeAt}
    audiences: [countersign]
    claims: { owner: shop }
    allow: [127.0.0.0/8]
    spiffe_id: spiffe://example.com/agent/{host}
  - name: ec2
    type: aws
    certificates_file: ${file('aws.pem')}
    claims: { accountId: '123456789012' }
    spiffe_id: spiffe://example.com/agent/{instanceId}
`;
  await writeFile(file('ca.yaml'), `${authorityYaml()}${provisioners}`);
  const words = ['--config', file('ca.yaml'), '--data', file('state')];
  const made = await countersign(['init', ...words]);
  assert.equal(made.code, 0, made.stderr);
  const serve = (port: string) =>
    startCountersign(t, ['ca', 'serve', ...words, '--port', port], { timeoutMs });
  const server = await serve('0');
  const [url = ''] = server.urls;
  const start = async (attest: string, name: string) => {
    const head = `agent: { socket: ${name}.sock }\nattest:\n  fingerprint: ${made.stdout.trim()}\n`;
    await writeFile(file(`${name}.yaml`), `${head}  ${attest}\n`);
    return ['agent', '--config', file(`${name}.yaml`), '--ca', url, '--identity', file(name)];
  };
  return { file, issuer, forgeAt, aws, server, serve, url, start };
}

const namesIn = async (path: string) => {
  const [leaf] = certificatesFromPem(await readFile(join(path, 'cert.pem')));
  return { names: leaf?.subjectAltNames.map(formatGeneralName), notAfter: leaf?.notAfter ?? 0 };
};

test('an agent attests itself by a Kubernetes token, and anew when its certificate has lapsed', {
  skip: skipAgent,
}, async (t) => {
  const { file, issuer, server, serve, url, start } = await startWorld(t);
  const put = (claims: object) => writeFile(file('token'), issuer.token(claims));
  const claims = { iss: cluster, aud: ['countersign'], sub: 'system:serviceaccount:agents:node' };

  // 1. Wrong evidence is a clear error at both ends.
  const words = await start('kubernetes: { token_file: token }', 'node');
  const missing = await countersign(words);
  assert.match(missing.stderr, /ERR_EVIDENCE_FILE/);
  assert.equal(missing.code, 3);
  await put({ ...claims, sub: 'system:serviceaccount:shop:cart' });
  const refused = await countersign(words);
  assert.match(refused.stderr, /"sub" of the token is "system:serviceaccount:shop:cart"/);
  assert.equal(refused.code, 1);
  assert.match(server.stderr(), /ERR_PROVISIONER_CLAIMS/);
  await writeFile(file('token'), tokenIssuer().token(claims));
  const forged = await countersign(words);
  assert.match(forged.stderr, /ERR_PROVISIONER_TOKEN/);
  assert.match(server.stderr(), /signature that no key/);

  // 2. Right evidence: an identity, and the socket.
  await put(claims);
  const agent = await startCountersign(t, words, { timeoutMs });
  assert.deepEqual(agent.urls, [`unix://${file('node.sock')}`]);
  const first = await namesIn(file('node'));
  assert.deepEqual(first.names, ['uri:spiffe://example.com/agent/node']);

  // 3. The authority is away until the certificate has ended; then it is not renewed but attested anew.
  await server.end();
  const { notAfter } = await namesIn(file('node'));
  await put(claims);
  await until(() => Date.now() > notAfter + 1000);
  await serve(new URL(url).port);
  await until(async () => (await namesIn(file('node'))).notAfter > Date.now());
  // The files are there before the log says so.
  await until(() => /identity renewed/.test(agent.stderr()));
  await ended(agent);

  // 4. The same at a start.
  const left = await namesIn(file('node'));
  await until(() => Date.now() > left.notAfter);
  const again = await startCountersign(t, words, { timeoutMs });
  assert.ok((await namesIn(file('node'))).notAfter > left.notAfter);
  await ended(again);
});

test('an agent attests itself by an OIDC token, and by the document of its instance', {
  skip: skipAgent,
}, async (t) => {
  const { file, issuer, forgeAt, aws, start } = await startWorld(t);
  const token = issuer.token({
    iss: forgeAt,
    aud: 'countersign',
    sub: 'a',
    owner: 'shop',
    host: 'h1',
  });
  await writeFile(file('agent.jwt'), token);
  const byToken = await startCountersign(
    t,
    await start('oidc: { token_file: agent.jwt }', 'oidc'),
    {
      timeoutMs,
    },
  );
  assert.deepEqual((await namesIn(file('oidc'))).names, ['uri:spiffe://example.com/agent/h1']);
  await ended(byToken);

  const document = awsDocument({ instanceId: 'i-0123' });
  const metadata = await startMetadata(t, { aws: () => aws.sign(document) });
  const words = await start(`aws: { metadata: "${metadata}" }`, 'ec2');
  const byDocument = await startCountersign(t, words, { timeoutMs });
  assert.deepEqual((await namesIn(file('ec2'))).names, ['uri:spiffe://example.com/agent/i-0123']);
  await ended(byDocument);
  const twice = await countersign(await start(`aws: { metadata: "${metadata}" }`, 'copy'));
  assert.match(twice.stderr, /ERR_PROVISIONER_USED/);
});

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  // Some wait for the end of a certificate of a minute.
  const deadline = AbortSignal.timeout(150_000);
  while (!(await holds())) {
    deadline.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function ended(agent: Started): Promise<void> {
  assert.equal((await agent.end()).code, 0);
}
