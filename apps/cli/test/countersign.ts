import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The command as anybody starts it. */
export const bin = fileURLToPath(new URL('../bin/countersign.js', import.meta.url));
/** The stand-in for Pebble. */
export const countersignPebble = fileURLToPath(
  new URL('../bin/countersign-pebble.js', import.meta.url),
);

export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  /** What the command reads from standard input, which then ends. */
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** Runs the command to its end in a process of its own. */
export function countersign(words: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const child = startProcess(words, options);
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.input ?? '');
  return finished(child, options.timeoutMs ?? 30_000);
}

/** A long-running command that has said `ready`. */
export interface Started {
  readonly pid: number;
  /** What stands after `ready`. */
  readonly urls: readonly string[];
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
  /** Sends the signal, SIGTERM unless given, and waits for the end. */
  end(signal?: NodeJS.Signals): Promise<Ran>;
}

/** Starts a long-running command and waits for its `ready` line; it is killed with the test at the latest. */
export async function startCountersign(
  t: TestContext,
  words: readonly string[],
  options: RunOptions = {},
): Promise<Started> {
  const child = startProcess(words, options);
  const end = finished(child, options.timeoutMs ?? 60_000);
  t.after(() => child.kill('SIGKILL'));
  let stdout = '';
  let stderr = '';
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const ready = new Promise<string>((resolve) => {
    child.stdout?.on('data', (chunk) => {
      stdout += chunk;
      if (stdout.includes('\n')) resolve(stdout.slice(0, stdout.indexOf('\n')));
    });
  });
  const first = await Promise.race([ready, end]);
  if (typeof first !== 'string') {
    throw new Error(`"${words.join(' ')}" ended with ${first.code}:\n${first.stderr}`);
  }
  if (!first.startsWith('ready ')) throw new Error(`first line of standard output is "${first}"`);
  return {
    pid: child.pid ?? 0,
    urls: first.split(' ').slice(1),
    stderr: () => stderr,
    kill: (signal) => child.kill(signal),
    end: (signal = 'SIGTERM') => {
      child.kill(signal);
      return end;
    },
  };
}

/** An empty directory that goes away with the test. */
export async function temporaryDirectory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'countersign-cli-'));
  // A process that is still ending may write into it.
  t.after(() => rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));
  return path;
}

function startProcess(words: readonly string[], options: RunOptions): ChildProcess {
  const { FORCE_COLOR: _, NODE_OPTIONS: __, NODE_TEST_CONTEXT: ___, ...inherited } = process.env;
  return spawn(process.execPath, [bin, ...words], {
    cwd: options.cwd,
    env: { ...inherited, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

function finished(child: ChildProcess, timeoutMs: number): Promise<Ran> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout?.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr?.on('data', (chunk) => {
      stderr += chunk;
    });
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`no end within ${timeoutMs} ms; standard error:\n${stderr}`));
    }, timeoutMs);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/** A demo that has told its story and stays up. */
export async function startDemo(t: TestContext, cwd: string) {
  const child = startProcess(['demo'], { cwd });
  const end = finished(child, 110_000);
  // SIGTERM first, so that its own children go with it.
  t.after(() => child.kill('SIGTERM'));
  let stdout = '';
  const ready = new Promise<void>((resolve) => {
    child.stdout?.on('data', (chunk) => {
      stdout += chunk;
      if (stdout.includes('Ctrl-C')) resolve();
    });
  });
  const ended = await Promise.race([ready, end]);
  if (ended !== undefined) throw new Error(`the demo ended:\n${ended.stdout}\n${ended.stderr}`);
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
  };
}
