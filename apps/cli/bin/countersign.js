#!/usr/bin/env node
// Plain JavaScript that any Node from 18 on can read: it finds a Node that runs the program, and starts it there.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const oldestNode = 24;
const here = dirname(fileURLToPath(import.meta.url));
const nodeModules = join(here, '..', '..', '..', 'node_modules');
const repositoryNode = join(nodeModules, '.bin', 'node');
const running = Number(process.versions.node.split('.')[0]);

if (running >= oldestNode) {
  // Halves the start. Beside the code, never in a directory that others may write to: it is code.
  if (existsSync(nodeModules))
    module.enableCompileCache(join(nodeModules, '.cache', 'countersign'));
  const { main } = await import('../src/main.ts');
  await main();
} else if (existsSync(repositoryNode)) {
  startIn(repositoryNode);
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

/** The same command line in another Node. Its exit is ours; the channel lets it notice that we are gone. */
function startIn(node) {
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
