// `npm run ok`: every rule that a script can check, all of them even when one fails, with the time that each took.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { root } from './workspace.ts';

const bin = join(root, 'node_modules', '.bin');
const checks: readonly { name: string; command: string; args: readonly string[] }[] = [
  { name: 'types', command: join(bin, 'tsc'), args: ['-p', '.'] },
  { name: 'lint', command: join(bin, 'biome'), args: ['check', '--error-on-warnings', '.'] },
  ...['layers', 'rules', 'sizes', 'links'].map((name) => ({
    name,
    command: process.execPath,
    args: [`scripts/check-${name}.ts`],
  })),
  { name: 'docs', command: process.execPath, args: ['scripts/generate-docs.ts', '--check'] },
];

const results = await Promise.all(checks.map(runCheck));
for (const { name, ok, seconds, output } of results) {
  console.log(
    `${ok ? 'ok ' : 'NOT OK'} ${name} (${seconds.toFixed(1)} s)${ok ? '' : `\n${output.trim()}\n`}`,
  );
}
process.exitCode = results.every((result) => result.ok) ? 0 : 1;

function runCheck(check: (typeof checks)[number]) {
  const started = performance.now();
  return new Promise<{ name: string; ok: boolean; seconds: number; output: string }>((resolve) => {
    const child = spawn(check.command, check.args, {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output: Buffer[] = [];
    child.stdout.on('data', (chunk) => output.push(chunk));
    child.stderr.on('data', (chunk) => output.push(chunk));
    child.on('error', (error) => output.push(Buffer.from(`${error.message}\n`)));
    child.on('close', (code) =>
      resolve({
        name: check.name,
        ok: code === 0,
        seconds: (performance.now() - started) / 1000,
        output: Buffer.concat(output).toString(),
      }),
    );
  });
}
