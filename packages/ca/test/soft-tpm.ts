import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

/** A TPM in software with its resource manager, on a bus and sockets of its own, and a token made in it. */
export interface SoftTpm {
  readonly module: string;
  readonly label: string;
  readonly pin: string;
  remove(): void;
}

const modules = [
  '/usr/lib/x86_64-linux-gnu/libtpm2_pkcs11.so.1',
  '/usr/lib/aarch64-linux-gnu/libtpm2_pkcs11.so.1',
];
const tools = ['swtpm', 'tpm2-abrmd', 'dbus-daemon', 'pkcs11-tool'];
const packages = 'swtpm libtpm2-pkcs11-1 tpm2-abrmd libtss2-tcti-tabrmd0 dbus-daemon opensc';

/** Why there can be none here, or false. */
export function softTpmMissing(): string | false {
  const missing = tools.find((tool) => spawnSync('which', [tool]).status !== 0);
  const hasModule = modules.some((path) => existsSync(path));
  if (missing === undefined && hasModule) return false;
  return `no ${missing ?? 'libtpm2_pkcs11.so.1'} (Debian: apt-get install ${packages})`;
}

/** Sets the variables that the module reads in this process too. */
export async function makeSoftTpm(label: string): Promise<SoftTpm> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-tpm-'));
  const children: ChildProcess[] = [];
  const remove = () => {
    for (const child of children.reverse()) child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  const start = (command: string, words: readonly string[], env = {}) => {
    const child = spawn(command, words, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    children.push(child);
    return child;
  };
  try {
    for (const name of ['state', 'store']) mkdirSync(join(directory, name));
    // The TCTI takes the control channel to be at the socket's path and ".ctrl".
    const socket = join(directory, 'tpm.sock');
    start('swtpm', [
      ...['socket', '--tpm2', '--tpmstate', `dir=${join(directory, 'state')}`],
      ...['--server', `type=unixio,path=${socket}`, '--ctrl', `type=unixio,path=${socket}.ctrl`],
      ...['--flags', 'not-need-init,startup-clear'],
    ]);
    const bus = start('dbus-daemon', ['--session', '--nofork', '--print-address=1']);
    const [address] = bus.stdout === null ? [] : await once(bus.stdout, 'data');
    const env = {
      DBUS_SESSION_BUS_ADDRESS: String(address).trim(),
      TPM2_PKCS11_TCTI: 'tabrmd:bus_type=session',
      TPM2_PKCS11_STORE: join(directory, 'store'),
      TPM2_PKCS11_LOG_LEVEL: '0',
      TSS2_LOG: 'all+NONE',
    };
    await until(() => existsSync(`${socket}.ctrl`));
    const manager = ['--session', '--allow-root', `--tcti=swtpm:path=${socket}`];
    start('tpm2-abrmd', manager, env);
    const module = modules.find((path) => existsSync(path)) ?? '';
    const pin = `pin-${label}-4711`;
    const isUp = () =>
      spawnSync('pkcs11-tool', ['--module', module, '-L'], { env: { ...process.env, ...env } })
        .status === 0;
    await until(isUp);
    const tool = (words: readonly string[]) =>
      execFileSync('pkcs11-tool', ['--module', module, '--slot', '1', ...words], {
        env: { ...process.env, ...env },
        stdio: 'pipe',
        timeout: 30_000,
      });
    tool(['--init-token', '--label', label, '--so-pin', 'so-4711']);
    tool(['--init-pin', '--so-pin', 'so-4711', '--pin', pin]);
    Object.assign(process.env, env);
    return { module, label, pin, remove };
  } catch (thrown) {
    remove();
    throw thrown;
  }
}

async function until(isTrue: () => boolean): Promise<void> {
  for (let i = 0; i < 50; i += 1) {
    if (isTrue()) return;
    await wait(100);
  }
  throw new Error('a part of the software TPM did not come up');
}
