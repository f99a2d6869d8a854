import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Something that .ci/foreign-tools installed apart from our own dependencies, and why a test without it is skipped. */
export function foreignTool(name: string): {
  readonly path: string;
  readonly skip: string | false;
} {
  const path = join(homedir(), '.cache', 'countersign-foreign', name);
  return { path, skip: existsSync(path) ? false : `${name} is not there: see .ci/foreign-tools` };
}
