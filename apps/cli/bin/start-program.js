// Plain JavaScript that any Node from 18 on can read: it finds a Node that runs the program, and starts it there.
import { existsSync, lstatSync, mkdirSync } from 'node:fs';
import module from 'node:module';
import { constants, homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { builtCommand, isRepository } from './built-command.js';

const oldestNode = 24;
const app = dirname(dirname(fileURLToPath(import.meta.url)));
const nodeModules = join(app, '..', '..', 'node_modules');
const repositoryNode = join(nodeModules, '.bin', 'node');

/** Starts a program of this package: `entry` of its build, or its source. */
export async function startProgram(entry, source) {
  const running = Number(process.versions.node.split('.')[0]);
  if (running >= oldestNode) {
    // Halves the start.
    const cache = isRepository(app) ? repositoryCache() : ownersCache();
    if (cache !== undefined) module.enableCompileCache(cache);
    const { main } = await import(
      pathToFileURL(builtCommand(app, entry) ?? join(app, 'src', source))
    );
    await main();
  } else if (isRepository(app) && existsSync(repositoryNode)) {
    await startIn(repositoryNode);
  } else {
    console.error(
      `start countersign: node ${process.versions.node} is older than the oldest that runs it, ${oldestNode}`,
    );
    console.error(
      'hint: run `npm install` in the repository, which brings its own Node, or use Node 24',
    );
    console.error('ERR_CLI_NODE_VERSION');
    process.exitCode = 2;
  }
}

/** Beside the code, never in a directory that others may write to: it is code. */
function repositoryCache() {
  return existsSync(nodeModules) ? join(nodeModules, '.cache', 'countersign') : undefined;
}

/** What is installed may be somebody else's: the cache is of whoever runs it, and nobody else may write there. */
function ownersCache() {
  try {
    const path = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'countersign');
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const found = lstatSync(path);
    const isOurs = process.getuid === undefined || found.uid === process.getuid();
    const isClosed = process.platform === 'win32' || (found.mode & 0o022) === 0;
    return found.isDirectory() && isOurs && isClosed ? path : undefined;
  } catch {
    return undefined;
  }
}

/** The same command line in another Node. Its exit is ours; the channel lets it notice that we are gone. */
async function startIn(node) {
  const { spawn } = await import('node:child_process');
  const child = spawn(node, process.argv.slice(1), {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGUSR2']) {
    process.on(signal, () => {
      // Ctrl-C on a terminal reaches the whole foreground group, the child too: once is enough.
      if (signal === 'SIGINT' && process.stdin.isTTY) return;
      child.kill(signal);
    });
  }
  child.on('error', (error) => {
    console.error(`start countersign: cannot run "${node}": ${error.message}`);
    console.error('hint: run `npm install` in the repository again');
    console.error('ERR_CLI_NODE_VERSION');
    process.exitCode = 2;
  });
  child.on('exit', (code, signal) => {
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
  });
}
