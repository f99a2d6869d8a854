import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';
import { bin } from './countersign.ts';

/** Of the repository. */
export const root = join(import.meta.dirname, '..', '..', '..');

export interface ShellBlock {
  /** `serve`: goes on until the end of the test. */
  readonly kind: 'run' | 'serve';
  readonly script: string;
}

/** The shell blocks of a document, in order. */
export async function shellBlocks(document: string): Promise<ShellBlock[]> {
  const text = await readFile(join(root, document), 'utf8');
  return [...text.matchAll(/^```sh( serve)?\n([\s\S]*?)^```$/gm)].map((match) => ({
    kind: match[1] === undefined ? ('run' as const) : ('serve' as const),
    script: match[2] ?? '',
  }));
}

/** Others may be using a document's ports here, so that each is replaced by a free one. */
export async function movedPorts(written: readonly string[]): Promise<(text: string) => string> {
  const ports = new Map<string, number>();
  for (const port of written) ports.set(port, await freePort());
  return (text) => {
    let result = text;
    for (const [port, free] of ports) result = result.replaceAll(port, String(free));
    return result;
  };
}

/** `npx countersign` and `node` are what this repository has, without npm's own start-up for each line. */
export async function shellEnvironment(home: string): Promise<NodeJS.ProcessEnv> {
  const tools = join(home, 'tools');
  await mkdir(tools);
  await symlink(process.execPath, join(tools, 'node'));
  const npx = `#!/bin/sh\n[ "$1" = countersign ] || exit 127\nshift\nexec "${process.execPath}" "${bin}" "$@"\n`;
  await writeFile(join(tools, 'npx'), npx);
  await chmod(join(tools, 'npx'), 0o755);
  return { ...process.env, PATH: `${tools}${delimiter}${process.env.PATH}` };
}

/** What a block says that must go well. */
export async function runBlock(
  script: string,
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const child = spawn('bash', ['-euo', 'pipefail', '-c', script], { cwd, env });
  const output = collect(child);
  const code = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(code, 0, `${script}\n${output.stdout}${output.stderr}`);
  return output.stdout;
}

/** Starts what a block serves, and waits until it says that it does. */
export async function serveBlock(
  t: TestContext,
  script: string,
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<void> {
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
