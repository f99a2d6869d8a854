import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import tls from 'node:tls';
import {
  alice,
  clientOf,
  credentialOf,
  echo,
  idOf,
  root,
  rulesOf,
  startUpstream,
  startWorld,
  tlsOf,
} from './gateway-world.suite.ts';

const skip = spawnSync('haproxy', ['-v']).error === undefined ? false : 'haproxy is not installed';
const everything = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: everything }
spec: { action: ALLOW, rules: [{}] }
`;

test('HAProxy before the gateway tells it of its clients, with a checksum', { skip }, async (t) => {
  const upstream = await startUpstream(t, echo);
  const { gateway } = await startWorld(t, upstream.url, {
    rules: rulesOf(everything),
    listenYaml: ', proxyProtocol: { from: [127.0.0.1] }',
  });
  const port = await freePort();
  // Its client is at another address than it is itself.
  await startHaproxy(
    t,
    `frontend in
  mode tcp
  bind 127.0.0.1:${port}
  default_backend gateway
backend gateway
  mode tcp
  server one 127.0.0.1:${gateway.port} send-proxy-v2 proxy-v2-options crc32c,authority
`,
    port,
  );
  const { ask } = clientOf(t, `https://127.0.0.1:${port}`, alice);
  const answer = await ask('/', { localAddress: '127.0.0.77', agent: undefined });
  assert.equal(answer.status, 200, answer.body);
  assert.equal(JSON.parse(answer.body).headers['x-forwarded-for'], '127.0.0.77');
});

test('HAProxy behind a tunnel is told of the client by the gateway', { skip }, async (t) => {
  const port = await freePort();
  const { chainPem, keyPem } = credentialOf('orders');
  const said = await startHaproxy(
    t,
    `frontend in
  mode tcp
  log-format "client %ci:%cp to %[dst]:%[dst_port] name %[fc_pp_authority]"
  bind 127.0.0.1:${port} accept-proxy ssl crt PAIR ca-file ROOT verify required
  tcp-request content reject
`,
    port,
    { PAIR: chainPem + keyPem, ROOT: root.rootPem },
  );
  const upstream = `{ url: "tcp://127.0.0.1:${port}", spiffeId: ${idOf('orders')}, proxyProtocol: v2 }`;
  const { gateway } = await startWorld(t, 'https://127.0.0.1:1', {
    rules: rulesOf(everything),
    listenYaml: `, protocol: tcp, upstream: ${upstream}`,
  });
  const socket = tls.connect({
    ...{ port: gateway.port, host: '127.0.0.1', localAddress: '127.0.0.77' },
    ...{ servername: 'db.example', ...tlsOf(alice) },
  });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  const { localPort } = socket;
  socket.write('hello');
  socket.resume();
  await once(socket, 'close');
  const line = `client 127.0.0.77:${localPort} to 127.0.0.1:${gateway.port} name db.example`;
  const end = performance.now() + 30_000;
  while (!said().includes(line)) {
    assert.ok(performance.now() < end, said());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
});

async function startHaproxy(
  t: TestContext,
  config: string,
  port: number,
  files: Readonly<Record<string, string>> = {},
): Promise<() => string> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-haproxy-'));
  let text = `global
  log stdout format raw daemon
defaults
  log global
  timeout client 10s
  timeout server 10s
  timeout connect 10s
${config}`;
  for (const [name, content] of Object.entries(files)) {
    const path = join(directory, name);
    writeFileSync(path, content, { mode: 0o600 });
    text = text.replace(name, path);
  }
  const path = join(directory, 'haproxy.cfg');
  writeFileSync(path, text);
  const child = spawn('haproxy', ['-db', '-f', path], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      said += chunk;
    });
  }
  t.after(async () => {
    const over = child.exitCode === null ? once(child, 'exit') : undefined;
    child.kill('SIGTERM');
    await over;
    rmSync(directory, { recursive: true });
  });
  const end = performance.now() + 30_000;
  for (let isOpen = false; !isOpen; ) {
    const socket = net.connect(port, '127.0.0.1');
    isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    assert.ok(isOpen || performance.now() < end, said);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return () => said;
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
