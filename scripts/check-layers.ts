// Rooms import downward only; siblings never; through the barrel only; what is imported is declared.
import { dirname, join } from 'node:path';
import { readWorkspaceFile, report, workspaceFiles } from './workspace.ts';

/** The levels of ARCHITECTURE.md. A room imports from rooms of a lower level. */
const levels: Readonly<Record<string, number>> = {
  base: 0,
  config: 1,
  x509: 1,
  spiffe: 2,
  wire: 3,
  mtls: 3,
  authz: 3,
  ca: 4,
  revocation: 4,
  identity: 5,
  gateway: 5,
  router: 5,
  agent: 5,
  provider: 6,
  doctor: 6,
  cli: 7,
  console: 7,
};

/** The signer stays out of everything that strangers can reach. */
const mayImportCa = new Set(['ca', 'provider', 'cli']);

const findings: string[] = [];
const files = workspaceFiles(
  'packages/*/src/**/*.ts',
  'packages/*/bench/**/*.ts',
  'apps/*/src/**/*.ts',
  'apps/*/test/**/*.ts',
  'packages/*/test/**/*.ts',
);
for (const file of files) {
  const [, room = ''] = file.split('/');
  const isTest =
    /\.(test|suite|bench)\.ts$/.test(file) ||
    /^(apps|packages)\/[^/]+\/(test|bench)\//.test(file) ||
    room === 'testkit';
  for (const { line, target } of importsOf(readWorkspaceFile(file)))
    checkImport(file, room, isTest, line, target);
}
checkLightThread('packages/ca/src/ledger/sqlite-worker.ts');
report('layers', findings, `${files.length} files import downward only`);

/** A thread that begins with each ledger: a barrel of another room would be most of what it loads. */
function checkLightThread(entry: string): void {
  const loaded = new Set([entry]);
  for (const file of loaded) {
    for (const { line, target } of importsOf(withoutTypes(readWorkspaceFile(file)))) {
      if (target.startsWith('.')) loaded.add(join(dirname(file), target));
      else if (/^@countersign\/(?!base$)[^/]+$/.test(target))
        findings.push(
          `${file}:${line}: "${target}" is loaded by ${entry}; import an export beside it`,
        );
    }
  }
}

function withoutTypes(text: string): string {
  return text.replaceAll(/^(?:import|export) type\s[^;]*;/gm, (found) =>
    found.replace(/[^\n]/g, ''),
  );
}

/** Beside the barrel, a room may export single files by name, for those who need little of it. */
function isExport(room: string, path: string): boolean {
  return `.${path}` in JSON.parse(readWorkspaceFile(`packages/${room}/package.json`)).exports;
}

function checkImport(
  file: string,
  room: string,
  isTest: boolean,
  line: number,
  target: string,
): void {
  const at = `${file}:${line}`;
  if (target.startsWith('.')) {
    const rooms = new URL(target, `file:///${file}`).pathname.split('/').slice(1, 3).join('/');
    if (!file.startsWith(`${rooms}/`))
      findings.push(`${at}: "${target}" leaves the room; import the package by its name`);
    return;
  }
  if (target.startsWith('node:')) return;
  const name = target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/');
  const manifest = JSON.parse(
    readWorkspaceFile(`${file.split('/').slice(0, 2).join('/')}/package.json`),
  );
  const isDeclared =
    name in
    { ...manifest.dependencies, ...manifest.optionalDependencies, ...manifest.peerDependencies };
  // What the command is built of is bundled into it: whoever installs it has no need of these.
  const isBundled = file.startsWith('apps/cli/src/') && name in (manifest.devDependencies ?? {});
  const isDevelopment =
    isTest &&
    (name in (manifest.devDependencies ?? {}) ||
      name in rootDevelopment() ||
      name === '@countersign/testkit');
  if (!isDeclared && !isBundled && !isDevelopment)
    findings.push(`${at}: "${name}" is not declared in the room's package.json`);
  if (!target.startsWith('@countersign/')) return;
  const other = name.slice('@countersign/'.length);
  if (target !== name && !isExport(other, target.slice(name.length)))
    findings.push(`${at}: "${target}" goes past the barrel of ${name}`);
  if (other === 'testkit') {
    if (!isTest) findings.push(`${at}: testkit is for tests alone`);
    return;
  }
  if (other === 'ca' && !mayImportCa.has(room) && !isTest)
    findings.push(`${at}: only provider and apps/cli may import ca`);
  const own = room === 'testkit' ? 8 : levels[room];
  const theirs = levels[other];
  if (own === undefined || theirs === undefined)
    findings.push(
      `${at}: room "${own === undefined ? room : other}" has no level in scripts/check-layers.ts`,
    );
  else if (theirs >= own)
    findings.push(
      `${at}: ${room} (level ${own}) imports ${other} (level ${theirs}); only lower levels may be imported`,
    );
}

function importsOf(text: string): { line: number; target: string }[] {
  const pattern =
    /^\s*(?:import|export)\s(?:[^'"`;]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;
  return [...text.matchAll(pattern)].map((match) => ({
    line: text.slice(0, match.index).split('\n').length + (match[0].match(/^\s*\n/) ? 1 : 0),
    target: match[1] ?? match[2] ?? '',
  }));
}

function rootDevelopment(): Record<string, string> {
  return JSON.parse(readWorkspaceFile('package.json')).devDependencies;
}
