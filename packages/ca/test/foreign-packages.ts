import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Where `.ci/foreign-tools` puts what only interop tests use; nothing of it is a dependency of ours. */
const directory = join(homedir(), '.cache', 'countersign-foreign');

/** A package of others, or why it is not there. */
export async function foreignPackage<T>(name: string): Promise<T | string> {
  try {
    const require = createRequire(join(directory, 'package.json'));
    return (await import(pathToFileURL(require.resolve(name)).href)) as T;
  } catch {
    return `no ${name} (run .ci/foreign-tools)`;
  }
}

export interface MotoServer {
  readonly url: string;
  stop(): void;
}

export function motoMissing(): string | false {
  return motoCommand() === undefined ? 'no moto_server (run .ci/foreign-tools)' : false;
}

/** AWS as moto plays it, on a port of its own. */
export async function startMoto(): Promise<MotoServer> {
  const child = spawn(motoCommand() ?? '', ['-H', '127.0.0.1', '-p', '0'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  const url = new Promise<string>((resolve) => {
    child.stderr.on('data', (chunk) => {
      said += chunk;
      const found = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
      if (found !== undefined) resolve(found);
    });
  });
  const ended = once(child, 'exit').then(() => {
    throw new Error(`moto_server ended: ${said}`);
  });
  return { url: await Promise.race([url, ended]), stop: () => child.kill('SIGKILL') };
}

function motoCommand(): string | undefined {
  const own = join(directory, 'moto', 'bin', 'moto_server');
  if (existsSync(own)) return own;
  return spawnSync('moto_server', ['--version']).status === 0 ? 'moto_server' : undefined;
}
