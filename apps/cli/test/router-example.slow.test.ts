import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { Agent, request } from 'undici';

const script = join(import.meta.dirname, '..', '..', '..', 'examples', 'router', 'run.sh');

test('examples/router serves three subgraphs over mTLS, one of them gRPC, and ends whole', async (t) => {
  const child = spawn('bash', [script], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGTERM'));
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const exited = once(child, 'exit');
  let out = '';
  for await (const chunk of child.stdout) {
    out += String(chunk);
    if (/^ready$/m.test(out)) break;
  }
  const url = /^ROUTER_URL=(\S+)$/m.exec(out)?.[1];
  const identity = /^CLIENT_IDENTITY=(\S+)$/m.exec(out)?.[1];
  assert.ok(url !== undefined && identity !== undefined, out + said);
  const read = (name: string) => readFile(join(identity, name));
  const connect = {
    key: await read('key.pem'),
    cert: await read('chain.pem'),
    ca: await read('bundle.pem'),
  };
  const dispatcher = new Agent({ connect });
  const response = await request(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: '{ me { name email orders { total status } } }' }),
    dispatcher,
  });
  assert.deepEqual(await response.body.json(), {
    data: {
      me: { name: 'Ada', email: 'ada@example.org', orders: [{ total: 40, status: 'SENT' }] },
    },
  });
  await dispatcher.destroy();
  child.kill('SIGTERM');
  const [code] = await exited;
  assert.equal(code, 0, said);
});
