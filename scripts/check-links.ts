// Every relative link of every document leads to a file, and its anchor to a heading or a line that exists.
import { existsSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { lineOf, readWorkspaceFile, report, root, workspaceFiles } from './workspace.ts';

const findings: string[] = [];
const documents = workspaceFiles('*.md');
let links = 0;
for (const file of documents) {
  const text = withoutCode(readWorkspaceFile(file));
  for (const match of text.matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)) {
    const target = match[1] ?? '';
    if (/^(?:https?|mailto):/.test(target)) continue;
    links += 1;
    const problem = problemOf(file, target);
    if (problem !== undefined)
      findings.push(`${file}:${lineOf(text, match.index)}: ${target}: ${problem}`);
  }
}
report('links', findings, `${links} links in ${documents.length} documents lead somewhere`);

function problemOf(file: string, target: string): string | undefined {
  const [path = '', anchor] = target.split('#');
  const full = path === '' ? file : normalize(join(dirname(file), path));
  if (full.startsWith('..')) return 'leads out of the repository';
  if (!existsSync(join(root, full))) return 'no such file';
  if (anchor === undefined || statSync(join(root, full)).isDirectory()) return undefined;
  const content = readWorkspaceFile(full);
  const line = /^L(\d+)$/.exec(anchor);
  if (line !== null)
    return Number(line[1]) <= content.split('\n').length ? undefined : 'the file has fewer lines';
  if (!full.endsWith('.md')) return 'an anchor in a file that has no headings';
  return headingsOf(content).has(anchor) ? undefined : 'no such heading';
}

function headingsOf(text: string): Set<string> {
  const headings = withoutCode(text).matchAll(/^#{1,6}\s+(.+)$/gm);
  return new Set([...headings].map((match) => slugOf(match[1] ?? '')));
}

function slugOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[`*]/g, '')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replace(/\s/g, '-');
}

/** Code keeps its lines, so that positions stay right, but loses its text. */
function withoutCode(text: string): string {
  return text.replace(/^```[\s\S]*?^```/gm, (block) => block.replace(/[^\n]/g, ' '));
}
