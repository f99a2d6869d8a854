// `npm test`, `npm run test:slow`, `npm run interop`: the same runner over three kinds of files.
// Arguments that are no flag choose files by a part of their path: `npm test -- x509 gateway`.
import { spawn, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { root, workspaceFiles } from './workspace.ts';

const kinds = {
  '--slow': { suffix: '.slow.test.ts', concurrency: 1, timeoutMs: 20 * 60_000 },
  '--interop': { suffix: '.interop.test.ts', concurrency: 1, timeoutMs: 10 * 60_000 },
  '': {
    suffix: '.test.ts',
    concurrency: Math.max(2, availableParallelism()),
    timeoutMs: 2 * 60_000,
  },
} as const;

const args = process.argv.slice(2);
const kind = args.includes('--slow') ? '--slow' : args.includes('--interop') ? '--interop' : '';
const parts = args.filter((arg) => !arg.startsWith('--'));
const { suffix, concurrency, timeoutMs } = kinds[kind];
const files = workspaceFiles('packages/**/*.test.ts', 'apps/**/*.test.ts', 'scripts/**/*.test.ts')
  .filter(
    (file) => file.endsWith(suffix) && (kind !== '' || !/\.(slow|interop)\.test\.ts$/.test(file)),
  )
  .filter((file) => parts.length === 0 || parts.some((part) => file.includes(part)));
if (files.length === 0) {
  console.error(
    `no *${suffix} file${parts.length > 0 ? ` with "${parts.join('" or "')}" in its path` : ''}`,
  );
  process.exit(2);
}
// Tests of the command start it many times: built, each start costs half. What changes meanwhile runs from its sources.
if (files.some((file) => file.startsWith('apps/'))) {
  const build = [join(root, 'scripts', 'build-command.ts'), '--or-sources'];
  spawnSync(process.execPath, build, { stdio: ['ignore', 'ignore', 'inherit'] });
}
const child = spawn(
  process.execPath,
  [
    '--test',
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${timeoutMs}`,
    '--test-reporter=spec',
    ...files,
  ],
  {
    cwd: root,
    stdio: 'inherit',
    // Every test file is a process that loads much the same code.
    env: { ...process.env, NODE_COMPILE_CACHE: join(root, 'node_modules', '.cache', 'tests') },
  },
);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
child.on('close', (code, signal) => {
  process.exitCode = code ?? (signal === null ? 1 : 128);
});
