import assert from 'node:assert/strict';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { authorityYaml, id } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

test('a gateway that requires proof refuses what was signed with a copy of the intermediate’s key', async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const run = async (...words: string[]) => {
    const ran = await countersign(words);
    assert.equal(ran.code, 0, `${words.join(' ')}: ${ran.stderr}`);
    return ran.stdout;
  };
  const issue = (state: string, name: string, out = name) =>
    run('issue', '--data', file(state), '--spiffe-id', id(name), '--out', file(out));

  // 1. an authority, and the state of it that somebody carried away
  await writeFile(file('ca.yaml'), authorityYaml());
  await run('init', '--config', file('ca.yaml'), '--data', file('state'));
  await cp(file('state'), file('stolen'), { recursive: true });
  const words = ['ca', 'serve', '--config', file('ca.yaml'), '--data', file('state')];
  const authority = await startCountersign(t, [...words, '--port', '0']);
  for (const name of ['orders', 'shop', 'gateway']) await issue('state', name);
  await issue('stolen', 'shop', 'mallory');

  // 2. a gateway that pins the log's key
  const shown = JSON.parse(await run('log', 'show', '--data', file('state'), '-o', 'json'));
  const upstream = await startUpstream(t, file('orders'));
  await writeFile(
    file('gateway.yaml'),
    `issuanceLog: { key: "${shown.key}", wait: 30s }
routes: [{ match: {}, upstream: { url: "https://127.0.0.1:${upstream}", spiffeId: ${id('orders')} } }]
`,
  );
  const gateway = await startCountersign(t, [
    ...['gateway', '--config', file('gateway.yaml'), '--identity', file('gateway')],
    ...['--ca', authority.urls[0]!, '--port', '0', '--admin-port', '0'],
  ]);
  const ask = (who: string) => get(gateway.urls[0]!, file(who));

  // 3. the same name, the same root: only one of them was ever issued
  assert.equal((await ask('shop')).status, 200);
  const refused = await ask('mallory');
  assert.deepEqual([refused.status, JSON.parse(refused.body).code], [403, 'ERR_PEER_UNLOGGED']);
  const admin = gateway.urls[1]!;
  const status = JSON.parse(await (await fetch(`${admin}/status`)).text());
  assert.deepEqual([status.issuanceLog.proved, status.issuanceLog.refused], [2, 1]);
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  assert.match(metrics, /countersign_log_proofs_total\{result="unlogged"\} 1/);

  // 4. without the authority, who was proved goes on, and nobody else
  await issue('state', 'shop', 'newcomer');
  authority.kill('SIGKILL');
  assert.equal((await ask('shop')).status, 200);
});

async function startUpstream(t: TestContext, identity: string): Promise<number> {
  const server = createServer(
    { key: await readFile(`${identity}/key.pem`), cert: await readFile(`${identity}/chain.pem`) },
    (_request, response) => response.end('ok'),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function get(url: string, identity: string): Promise<{ status: number; body: string }> {
  const [key, cert, ca] = await Promise.all(
    ['key.pem', 'chain.pem', 'bundle.pem'].map((name) => readFile(join(identity, name))),
  );
  return new Promise((resolve, reject) => {
    const options = { key, cert, ca, checkServerIdentity: () => undefined, agent: false } as const;
    const sent = request(url, options, (response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    });
    sent.on('error', reject);
    sent.end();
  });
}
