import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { countersignPebble, temporaryDirectory } from './countersign.ts';

const document = new URL('../../../docs/pebble.md', import.meta.url);

let said = '';
let directory = '';
let ports: number[] = [];
let end = () => {};
before(async (t) => {
  directory = await temporaryDirectory(t as never);
  ports = await freePorts(2);
  const [, example = ''] = /```sh\n([\s\S]*?)```/.exec(readFileSync(document, 'utf8')) ?? [];
  const script = example
    .replaceAll('npx countersign-pebble', `"${process.execPath}" "${countersignPebble}"`)
    .replaceAll('14000', String(ports[0]))
    .replaceAll('15000', String(ports[1]));
  writeFileSync(join(directory, 'example.sh'), `set -e\n${script}\nwait\n`);
  const child = spawn('bash', ['example.sh'], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  });
  end = () => process.kill(-(child.pid ?? 0), 'SIGTERM');
  for await (const part of child.stdout) {
    said += part;
    if (said.includes('END CERTIFICATE')) break;
  }
});
after(() => end());

function get(path: string): Promise<{ status: number; link: string; text: string }> {
  const ca = readFileSync(join(directory, 'cert.pem'));
  const agent = new Agent({ ca, servername: 'localhost' });
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port: ports[1], path, agent }, async (answer) => {
      let text = '';
      for await (const part of answer) text += part;
      resolve({ status: answer.statusCode ?? 0, link: String(answer.headers.link), text });
    });
    asked.on('error', reject).end();
  });
}

test('countersign-pebble, as its document has it, answers with its directory and its root', () => {
  assert.match(said, /"newOrder":"https:\/\/localhost:\d+\/order-plz"/, said);
  assert.match(said, /BEGIN CERTIFICATE/);
});

test('it manages as Pebble does', async () => {
  const first = await get('/roots/0');
  const root = new X509Certificate(first.text);
  assert.match(first.link, /\/roots\/1>;rel="alternate"/);
  for (const number of [0, 1]) {
    const intermediate = new X509Certificate((await get(`/intermediates/${number}`)).text);
    const issuer = new X509Certificate((await get(`/roots/${number}`)).text);
    assert.ok(intermediate.verify(issuer.publicKey));
    assert.equal(intermediate.verify(root.publicKey), number === 0);
  }
  assert.match((await get('/intermediate-keys/1')).text, /^-----BEGIN EC PRIVATE KEY-----/);
  const known = await get(`/cert-status-by-serial/${root.serialNumber}`);
  assert.equal(JSON.parse(known.text).Status, 'Valid');
  assert.equal((await get('/roots/2')).status, 404);
  assert.equal((await get('/cert-status-by-serial/abc')).status, 404);
  assert.equal((await get('/cert-status-by-serial/xyz')).status, 400);
});

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (each) =>
        new Promise<number>((resolve) => {
          each.listen(0, '127.0.0.1', () => {
            const found = each.address();
            resolve(typeof found === 'object' && found !== null ? found.port : 0);
          });
        }),
    ),
  );
  await Promise.all(servers.map((each) => new Promise((resolve) => each.close(resolve))));
  return ports;
}
