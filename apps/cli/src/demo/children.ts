import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { CountersignError } from '@countersign/base';
import type { NumberedOrder, WorkloadAnswer, WorkloadOrder } from './workload-messages.ts';

const bin = fileURLToPath(new URL('../../bin/countersign.js', import.meta.url));
const workloadProgram = fileURLToPath(new URL('./workload.ts', import.meta.url));
const startTimeoutMs = 30_000;
const endTimeoutMs = 5000;

/** A `countersign` command that serves. */
export interface Service {
  readonly pid: number;
  readonly urls: readonly string[];
  reload(): void;
}

/** A workload's process; `ask` rejects with ERR_CLI_DEMO_STEP where the order could not be done. */
export interface Workload {
  readonly pid: number;
  ask<T>(order: WorkloadOrder): Promise<T>;
}

/**
 * Every process of one demo. They hold a channel to us and end when it closes, so that none stays behind even when
 * this process is killed.
 */
export class Children {
  /** With what settles when it has ended and its output is read. */
  readonly #running = new Map<ChildProcess, Promise<unknown>>();
  readonly #workloads = new Set<ChildProcess>();
  readonly #cwd: string;
  readonly #logOf: (name: string) => string;
  #ending = false;
  /** Told when one ends that nobody asked to. */
  onLost: (name: string, log: string) => void = () => {};

  constructor(cwd: string, logOf: (name: string) => string) {
    this.#cwd = cwd;
    this.#logOf = logOf;
  }

  /** Runs a `countersign` command to its end and returns its standard output. */
  async run(name: string, words: readonly string[]): Promise<string> {
    const child = this.#spawn(name, [bin, ...words]);
    let stdout = '';
    child.stdout?.on('data', (chunk) => {
      stdout += chunk;
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    if (code === 0) return stdout;
    throw this.#failed(name, `\`countersign ${words[0]}\` ended with exit code ${String(code)}`);
  }

  /**
   * Starts a `countersign` command and waits for its `ready` line.
   *
   * @param program another one that says `ready` as well
   */
  async serve(name: string, words: readonly string[], program = bin): Promise<Service> {
    const child = this.#spawn(name, [program, ...words]);
    const line = await new Promise<string>((resolve, reject) => {
      let text = '';
      child.stdout?.on('data', (chunk) => {
        text += chunk;
        if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')));
      });
      child.on('exit', () => reject(this.#failed(name, 'it ended before it was ready')));
      setTimeout(
        () => reject(this.#failed(name, `it was not ready within ${startTimeoutMs / 1000} s`)),
        startTimeoutMs,
      ).unref();
    });
    this.#watch(name, child);
    return {
      pid: child.pid ?? 0,
      urls: line.split(' ').slice(1),
      reload: () => child.kill('SIGHUP'),
    };
  }

  workload(name: string): Workload {
    const child = this.#spawn(name, [workloadProgram]);
    this.#workloads.add(child);
    this.#watch(name, child);
    const waiting = new Map<number, (answer: WorkloadAnswer | undefined) => void>();
    let number = 0;
    child.on('message', (answer: WorkloadAnswer) => waiting.get(answer.number)?.(answer));
    child.on('exit', () => {
      for (const settle of waiting.values()) settle(undefined);
    });
    return {
      pid: child.pid ?? 0,
      ask: async <T>(order: WorkloadOrder): Promise<T> => {
        number += 1;
        const mine = number;
        const answer = await new Promise<WorkloadAnswer | undefined>((resolve) => {
          waiting.set(mine, resolve);
          child.send({ number: mine, order } satisfies NumberedOrder);
        });
        waiting.delete(mine);
        if (answer?.ok === true) return answer.value as T;
        const reason = answer === undefined ? 'its process ended' : String(answer.value);
        throw this.#failed(name, `${order.do}: ${reason}`);
      },
    };
  }

  /**
   * Ends all of them: first the workloads, so that nobody drains their streams, then the services, the newest first.
   * SIGTERM, and SIGKILL for what is still there after 5 s.
   */
  async end(): Promise<void> {
    this.#ending = true;
    const overdue = setTimeout(() => {
      for (const child of this.#running.keys()) child.kill('SIGKILL');
    }, endTimeoutMs);
    const services = [...this.#running].filter(([child]) => !this.#workloads.has(child));
    const workloads = [...this.#workloads].map((child) => this.#stop(child));
    await Promise.all(workloads);
    for (const [child] of services.reverse()) await this.#stop(child);
    clearTimeout(overdue);
  }

  #stop(child: ChildProcess): Promise<unknown> | undefined {
    child.kill('SIGTERM');
    return this.#running.get(child);
  }

  #spawn(name: string, words: readonly string[]): ChildProcess {
    const log = createWriteStream(this.#logOf(name), { flags: 'a', mode: 0o600 });
    const child = spawn(process.execPath, words, {
      cwd: this.#cwd,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // Ctrl-C on the terminal is ours to hear: we end them in order.
      detached: true,
    });
    const closed = new Promise((resolve) => child.once('close', resolve).once('error', resolve));
    this.#running.set(child, closed);
    closed.then(() => this.#running.delete(child));
    child.stderr?.pipe(log);
    return child;
  }

  #watch(name: string, child: ChildProcess): void {
    child.on('exit', () => {
      if (!this.#ending) this.onLost(name, this.#logOf(name));
    });
  }

  #failed(name: string, reason: string): CountersignError {
    return new CountersignError('ERR_CLI_DEMO_STEP', `demo: ${name}: ${reason}`, {
      hint: `read ${this.#logOf(name)}`,
    });
  }
}
