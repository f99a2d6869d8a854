import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

/** A TPM 2.0 in software (swtpm) behind a Unix socket that takes commands as the device does. */
export interface SoftTpmServer {
  /** Path of the socket. */
  readonly socket: string;
  /** One command and its answer, on a connection of its own. */
  exchange(command: Uint8Array): Promise<Uint8Array>;
  /** For files that a test makes. */
  readonly directory: string;
  /** Runs one of tpm2-tools in `directory`; what it prints. @throws Error with what it says where it fails */
  tool(command: string, ...words: readonly string[]): string;
  remove(): void;
}

/** Why there can be none here, or false. */
export function softTpmServerMissing(): string | false {
  const missing = ['swtpm', 'tpm2_createak'].find(
    (each) => spawnSync('which', [each]).status !== 0,
  );
  return missing === undefined ? false : `no ${missing} (Debian: apt-get install swtpm tpm2-tools)`;
}

export async function startSoftTpmServer(): Promise<SoftTpmServer> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-swtpm-'));
  const socket = join(directory, 'tpm.sock');
  mkdirSync(join(directory, 'state'));
  const child: ChildProcess = spawn(
    'swtpm',
    [
      ...['socket', '--tpm2', '--tpmstate', `dir=${join(directory, 'state')}`],
      // tpm2-tss takes the control channel to be at the socket's path and ".ctrl".
      ...['--server', `type=unixio,path=${socket}`, '--ctrl', `type=unixio,path=${socket}.ctrl`],
      ...['--flags', 'not-need-init,startup-clear'],
    ],
    { stdio: 'ignore' },
  );
  const remove = () => {
    child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  };
  for (let i = 0; !existsSync(`${socket}.ctrl`); i += 1) {
    if (i === 300 || child.exitCode !== null) {
      remove();
      throw new Error('swtpm did not come up');
    }
    await wait(100);
  }
  const env = { ...process.env, TPM2TOOLS_TCTI: `swtpm:path=${socket}`, TSS2_LOG: 'all+NONE' };
  return {
    socket,
    directory,
    remove,
    exchange: (command) => exchangeAt(socket, command),
    tool(command, ...words) {
      const options = { cwd: directory, env, timeout: 60_000, encoding: 'utf8' } as const;
      const { status, stdout, stderr } = spawnSync(command, words, options);
      if (status === 0) return stdout;
      throw new Error(`${command} ${words.join(' ')}: ${status} ${stderr}`);
    },
  };
}

async function exchangeAt(path: string, command: Uint8Array): Promise<Uint8Array> {
  const socket = connect(path);
  socket.setTimeout(60_000, () => socket.destroy(new Error('swtpm does not answer')));
  socket.write(command);
  try {
    let answer = Buffer.alloc(0);
    for await (const part of socket) {
      answer = Buffer.concat([answer, part as Buffer]);
      if (answer.byteLength >= 10 && answer.byteLength >= answer.readUInt32BE(2)) return answer;
    }
  } finally {
    socket.destroy();
  }
  throw new Error('swtpm hung up');
}
