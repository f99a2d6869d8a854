import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('rotation-process.ts', import.meta.url));

export interface AttemptedRotation {
  /** Null: it came to its end. */
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `rotation-process.ts` with these words after its data directory. */
export function attemptRotation(
  data: string,
  words: readonly string[],
): Promise<AttemptedRotation> {
  const child = spawn(process.execPath, [program, data, ...words], { timeout: 120_000 });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve) => {
    child.on('close', (_, signal) => resolve({ signal, stdout, stderr }));
  });
}
