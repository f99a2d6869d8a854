import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { bin, temporaryDirectory } from './countersign.ts';

const root = join(import.meta.dirname, '..', '..', '..');

test('the five minutes of the README go as they are written', async (t) => {
  const home = await temporaryDirectory(t);
  await cp(join(root, 'examples'), join(home, 'examples'), { recursive: true });
  const env = await environment(home);
  // Others may be using the README's ports here, so that each is replaced by a free one, in the files too.
  const ports = new Map<string, number>();
  for (const port of ['8440', '8443', '9001']) ports.set(port, await freePort());
  const moved = (text: string) => {
    let result = text;
    for (const [written, free] of ports) result = result.replaceAll(written, String(free));
    return result;
  };
  const gatewayFile = join(home, 'examples', 'first', 'gateway.yaml');
  await writeFile(gatewayFile, moved(await readFile(gatewayFile, 'utf8')));

  const outputs: string[] = [];
  for (const { kind, script } of await blocks()) {
    if (kind === 'serve') await serve(t, moved(script), home, env);
    else outputs.push(await run(moved(script), home, env));
  }
  const [made, identities, calls, revoked] = outputs;
  assert.match(made ?? '', /^ok .*ca\.yaml[\s\S]*\n[0-9a-f]{64}\n$/);
  assert.match(identities ?? '', /ok shop\/chain\.pem/);
  assert.match(calls ?? '', /orders, called by .*URI=spiffe:\/\/example\.com\/shop/);
  assert.match(calls ?? '', /"status":401/);
  assert.match(revoked ?? '', /1 gateway/);
  assert.match(revoked ?? '', /ERR_PEER_REVOKED/);

  const past = 'curl --silent --cacert shop/bundle.pem --cert shop/chain.pem --key shop/key.pem';
  const direct = await run(moved(`${past} https://127.0.0.1:9001/orders\n`), home, env);
  assert.equal(direct, 'only for spiffe://example.com/gateway\n', 'past the gateway');
});

/** The shell blocks of the README, in order. */
async function blocks(): Promise<{ kind: 'run' | 'serve'; script: string }[]> {
  const text = await readFile(join(root, 'README.md'), 'utf8');
  const found = [...text.matchAll(/^```sh( serve)?\n([\s\S]*?)^```$/gm)].map((match) => ({
    kind: match[1] === undefined ? ('run' as const) : ('serve' as const),
    script: match[2] ?? '',
  }));
  assert.ok(found.length >= 7, 'the README has its blocks');
  return found;
}

/** `npx countersign` and `node` are what this repository has, without npm's own start-up for each line. */
async function environment(home: string): Promise<NodeJS.ProcessEnv> {
  const tools = join(home, 'tools');
  await mkdir(tools);
  await symlink(process.execPath, join(tools, 'node'));
  const npx = `#!/bin/sh\n[ "$1" = countersign ] || exit 127\nshift\nexec "${process.execPath}" "${bin}" "$@"\n`;
  await writeFile(join(tools, 'npx'), npx);
  await chmod(join(tools, 'npx'), 0o755);
  return { ...process.env, PATH: `${tools}${delimiter}${process.env.PATH}` };
}

async function run(script: string, cwd: string, env: NodeJS.ProcessEnv): Promise<string> {
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], { cwd, env });
  const output = collect(child);
  const code = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(code, 0, `${script}\n${output.stdout}${output.stderr}`);
  return output.stdout;
}

async function serve(t: TestContext, script: string, cwd: string, env: NodeJS.ProcessEnv) {
  const child = spawn('bash', ['-euc', `exec ${script}`], { cwd, env });
  const output = collect(child);
  const closed = new Promise<void>((resolve) => child.on('close', () => resolve()));
  t.after(async () => {
    child.kill('SIGTERM');
    await closed;
  });
  const ready = new Promise<void>((resolve) => {
    child.stdout.on('data', () => output.stdout.includes('\n') && resolve());
  });
  await Promise.race([ready, closed]);
  assert.match(output.stdout, /^ready /, `${script}\n${output.stderr}`);
}

function collect(child: ChildProcess): { stdout: string; stderr: string } {
  const output = { stdout: '', stderr: '' };
  child.stdout?.on('data', (chunk) => {
    output.stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    output.stderr += chunk;
  });
  return output;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
