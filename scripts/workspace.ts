import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/**
 * Paths from the root with `/`, of what git tracks or would track and what is there; sorted. In a pattern with `**` it
 * stands for any number of directories, none included; in one without, `*` goes across directories.
 */
export function workspaceFiles(...patterns: string[]): string[] {
  const listed = execFileSync(
    'git',
    ['ls-files', '-co', '--exclude-standard', '-z', '--', ...patterns.map(pathspec)],
    {
      cwd: root,
      encoding: 'utf8',
      maxBuffer: 64 * 1024 * 1024,
    },
  );
  return [...new Set(listed.split('\0'))]
    .filter((path) => path !== '' && existsSync(join(root, path)))
    .sort();
}

/** Without the magic word git reads `**` as `*`, and misses what stands in the directory before it. */
function pathspec(pattern: string): string {
  return pattern.includes('**') ? `:(glob)${pattern}` : pattern;
}

export function readWorkspaceFile(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** The line of an offset, from 1. */
export function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

/** Ends a check: prints each finding, sets the exit code. */
export function report(check: string, findings: readonly string[], looked: string): void {
  for (const finding of findings) console.error(finding);
  if (findings.length > 0) {
    console.error(`${check}: ${findings.length} ${findings.length === 1 ? 'finding' : 'findings'}`);
    process.exitCode = 1;
    return;
  }
  console.log(`${check}: ${looked}`);
}
