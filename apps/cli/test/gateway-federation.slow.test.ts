import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@countersign/base';
import { readIdentity } from '@countersign/identity';
import { testCa } from '@countersign/testkit';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import { authorityYaml, id } from './authority-files.ts';
import { startCountersign, temporaryDirectory } from './countersign.ts';
import { run, serveWho, startAuthority } from './trust-domains.ts';

const skip = process.platform === 'linux' ? false : 'the agent runs on Linux alone';
const partnerId = (name: string) => `spiffe://partner.org/${name}`;
const gateway = id('ns/edge/sa/gateway');

interface Credential {
  readonly cert: string;
  readonly key: string;
}

test('a gateway lets in callers of a trust domain that its agent follows, through a new root there', {
  skip,
}, async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  // 1. two authorities, and an agent of the one that follows the bundle of the other
  const home = await startAuthority(t, file('home'), authorityYaml());
  const foreignYaml = authorityYaml().replaceAll('example.com', 'partner.org');
  const partner = await startAuthority(t, file('partner'), foreignYaml);
  const credentialOf = (name: string): Credential => ({
    cert: readFileSync(file(`${name}/chain.pem`), 'utf8'),
    key: readFileSync(file(`${name}/key.pem`), 'utf8'),
  });
  const issueForeign = async (to: string, name = 'shop') => {
    await run('issue', ...partner.state, '--spiffe-id', partnerId(name), '--out', file(to));
    return credentialOf(to);
  };
  const before = await issueForeign('shop');
  const wrong = await issueForeign('wrong', 'other');
  await writeFile(
    file('agent.yaml'),
    `agent: { socket: agent.sock }
federation:
  - trust_domain: partner.org
    bundle_file: shop/bundle.pem
    bundle_endpoint:
      url: ${partner.url}/v1/bundle
      profile: https_spiffe
      endpoint_spiffe_id: ${partnerId('countersign/ca')}
`,
  );
  const token = await run('token', 'create', ...home.state, '--spiffe-id', id('agent'));
  await startCountersign(t, [
    ...['agent', '--config', file('agent.yaml'), '--ca', home.url, '--token', token],
  ]);
  await run(
    ...['entry', 'create', ...home.state, '--agent', id('agent'), '--spiffe-id', gateway],
    ...['--selector', `unix:uid:${process.getuid?.()}`, '--federates-with', 'partner.org'],
  );

  // 2. the gateway, whose identity and bundles are the agent's
  const names = ['--ip', '127.0.0.1', '--out', file('orders')];
  await run('issue', ...home.state, '--spiffe-id', id('orders'), ...names);
  const orders = await readIdentity(file('orders'));
  const upstream = await serveWho(t, orders.svid, orders.bundle);
  await writeFile(
    file('gateway.yaml'),
    `listen: { address: 127.0.0.1 }
issuer: { workload_api: { socket: "unix://${file('agent.sock')}", spiffe_id: ${gateway} } }
revocation: { method: [lifetime] }
routes:
  - match: { pathPrefix: / }
    upstream: { url: "https://127.0.0.1:${upstream.port}", spiffeId: ${id('orders')} }
`,
  );
  await writeFile(
    file('policy.yaml'),
    `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: partners }
spec: { action: ALLOW, rules: [{ from: [{ source: { principals: [partner.org/shop] } }] }] }
`,
  );
  const started = await startCountersign(
    t,
    [
      ...['gateway', '--config', file('gateway.yaml'), '--policy', file('policy.yaml')],
      ...['--port', '0'],
    ],
    { timeoutMs: 240_000 },
  );
  const ask = (credential: Credential) => statusOf(String(started.urls[0]), credential);

  // 3. the right caller, one that no policy names, and one that poses as the right one
  assert.equal(await ask(before), 200, started.stderr());
  assert.equal(await ask(wrong), 403);
  const { chain, privateKey } = testCa().svid(partnerId('shop'));
  const forged = {
    cert: chain.map(({ raw }) => encodePem('CERTIFICATE', raw)).join(''),
    key: encodePrivateKey(privateKey),
  };
  assert.notEqual(await ask(forged), 200);

  // 4. a new root there: who has a certificate of it is let in, who has one of the retired root is not
  await run('root', 'prepare', ...partner.state);
  // The hint there is five seconds: whoever followed it has the new root by then, and can read what is signed under it.
  await systemClock.sleep(15_000);
  await run('root', 'activate', ...partner.state, '--force');
  const after = await issueForeign('shop2');
  const until = async (credential: Credential, isSo: (status: number) => boolean) => {
    const over = AbortSignal.timeout(60_000);
    while (!isSo(await ask(credential))) {
      over.throwIfAborted();
      await systemClock.sleep(100);
    }
  };
  await until(after, (status) => status === 200);
  assert.equal(await ask(before), 200);
  await run('root', 'retire', ...partner.state, '--force');
  await until(before, (status) => status !== 200);
  assert.equal(await ask(after), 200);
});

/** Of an answer on a connection of its own; 0 where there is none. */
function statusOf(url: string, credential: Credential): Promise<number> {
  return new Promise((resolve) => {
    const options = { ...credential, agent: false, rejectUnauthorized: false, timeout: 20_000 };
    const asked = request(url, options, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
    });
    asked.once('error', () => resolve(0));
    asked.once('timeout', () => asked.destroy());
    asked.end();
  });
}
