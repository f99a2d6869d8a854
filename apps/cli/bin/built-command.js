// Plain JavaScript that any Node from 18 on can read, for the command and for scripts/build-command.ts.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * An entry of the built command. Installed, it is what there is. In the repository it is used only as long as every
 * file that it was made of is the very one: a stale build never runs.
 */
export function builtCommand(app, name = 'main.js') {
  const dist = join(app, 'dist');
  const build = readJson(join(dist, 'build.json'));
  if (build === undefined) return undefined;
  const entry = join(dist, build.directory, name);
  if (isRepository(app)) {
    const inputs = readJson(join(dist, 'inputs.json'));
    if (inputs?.directory !== build.directory || !isFresh(join(app, '..', '..'), inputs.files))
      return undefined;
  }
  return existsSync(entry) ? entry : undefined;
}

export function isRepository(app) {
  return existsSync(join(app, 'src', 'main.ts'));
}

/**
 * What tells a file from what it was and from another in its place: size, inode, and when it last changed, which
 * nobody can set back.
 */
export function traceOf(path) {
  const { size, ino, ctimeMs } = statSync(path);
  return [size, ino, ctimeMs];
}

function isFresh(root, files) {
  try {
    return files.every(([path, size, ino, changedMs]) => {
      const now = statSync(`${root}/${path}`);
      return now.size === size && now.ino === ino && now.ctimeMs === changedMs;
    });
  } catch {
    return false;
  }
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}
