import { spawn, spawnSync } from 'node:child_process';

/** Why there is no network of one's own here, or false. In one, fixed ports are nobody else's. */
export function lacksOwnNetwork(): string | false {
  const tried = spawnSync('unshare', ['--net', 'ip', 'link', 'set', 'lo', 'up']);
  return tried.status === 0 ? false : 'no network name space (it needs root, unshare and ip)';
}

/**
 * Runs a script of Bash in a network that it has for itself, loopback alone, and ends what it leaves behind.
 *
 * @returns what it wrote to either output, and how it ended
 */
export async function inOwnNetwork(
  script: string,
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<{ readonly code: number | null; readonly said: string }> {
  // A process space of its own ends with its first process, and everything in it.
  const words = [
    '--net',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
    'bash',
    '-c',
  ];
  const whole = `ip link set lo up\n${script}`;
  const child = spawn('unshare', [...words, whole], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...env },
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, said };
}
