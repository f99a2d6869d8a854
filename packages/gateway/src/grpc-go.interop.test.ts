import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { staticSvid } from '@countersign/spiffe';
import {
  credentialOf,
  idOf,
  issuing,
  root,
  rulesOf,
  startWorld,
  svidOf,
} from './gateway-world.suite.ts';

const tools = join(homedir(), '.cache', 'countersign-foreign', 'grpc-go');
const skip = existsSync(join(tools, 'client')) ? false : 'no grpc-go: see .ci/foreign-tools';

/** All that need no credentials of Google's. */
const cases = [
  ...['empty_unary', 'large_unary', 'client_streaming', 'server_streaming', 'ping_pong'],
  ...['empty_stream', 'timeout_on_sleeping_server', 'cancel_after_begin'],
  ...['cancel_after_first_response', 'status_code_and_message', 'special_status_message'],
  ...['custom_metadata', 'unimplemented_method', 'unimplemented_service'],
];
const everything = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: everything }
spec: { action: ALLOW, rules: [{}] }
`;

test('the interop client of grpc-go finds its server behind the gateway as before it', {
  skip,
}, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-grpc-go-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text, { mode: 0o600 });
    return join(directory, name);
  };
  const { chainPem, keyPem } = credentialOf('orders');
  const port = await freePort();
  const server = spawn(join(tools, 'server'), [
    ...['-port', String(port), '-use_tls'],
    ...['-tls_cert_file', file('chain.pem', chainPem), '-tls_key_file', file('key.pem', keyPem)],
  ]);
  t.after(async () => {
    const over = once(server, 'exit');
    server.kill('SIGKILL');
    await over;
  });
  await listening(port);
  const own = issuing.svid(idOf('gateway'), { dns: ['gateway.example'] });
  const { gateway } = await startWorld(t, `https://127.0.0.1:${port}`, {
    ...{ svids: staticSvid(svidOf(own)), rules: rulesOf(everything) },
    listenYaml: ', clientAuth: request',
  });
  const ca = file('root.pem', root.rootPem);
  const failed: string[] = [];
  for (const name of cases) {
    const { code, said } = await run(t, [
      ...[
        '-use_tls',
        '-use_test_ca',
        '-ca_file',
        ca,
        '-server_host',
        '127.0.0.1',
        '-test_case',
        name,
      ],
      ...['-server_port', String(gateway.port), '-server_host_override', 'gateway.example'],
    ]);
    if (code !== 0) failed.push(`${name}: ${said.slice(-300)}`);
  }
  assert.deepEqual(failed, []);
});

async function run(
  t: TestContext,
  words: readonly string[],
): Promise<{ readonly code: number | null; readonly said: string }> {
  const child = spawn(join(tools, 'client'), words, { timeout: 60_000 });
  t.signal.addEventListener('abort', () => child.kill());
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said };
}

async function listening(port: number): Promise<void> {
  const end = performance.now() + 30_000;
  for (let isOpen = false; !isOpen; ) {
    const socket = net.connect(port, '127.0.0.1');
    isOpen = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    });
    socket.destroy();
    assert.ok(isOpen || performance.now() < end, 'the server of grpc-go does not listen');
    if (!isOpen) await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
