import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CountersignError, messageOf } from '@countersign/base';
import type { Cli } from '../cli.ts';

export interface PrivateDirectory {
  readonly path: string;
  remove(): Promise<void>;
}

/**
 * A directory for this user alone (0700), in memory where the machine has such a place for users.
 *
 * @param parent where it is made; the runtime directory, /dev/shm or the temporary one unless given
 * @throws CountersignError ERR_EXEC_DIRECTORY
 */
export async function makePrivateDirectory(
  { env }: Pick<Cli, 'env'>,
  parent?: string,
): Promise<PrivateDirectory> {
  const places = parent === undefined ? [env.XDG_RUNTIME_DIR, '/dev/shm', tmpdir()] : [parent];
  const failures: string[] = [];
  for (const place of places) {
    if (place === undefined || place === '') continue;
    try {
      if (!(await stat(place)).isDirectory()) throw new Error('it is no directory');
      const path = await mkdtemp(join(resolve(place), 'countersign-exec-'));
      await chmod(path, 0o700);
      return { path, remove: () => rm(path, { recursive: true, force: true }) };
    } catch (thrown) {
      failures.push(`"${place}": ${messageOf(thrown)}`);
    }
  }
  throw new CountersignError(
    'ERR_EXEC_DIRECTORY',
    `make a private directory: ${failures.join('; ')}`,
  );
}
