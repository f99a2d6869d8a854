// `npm run build`: the packages as they are published. Node strips no types under node_modules, so that their sources are
// written as JavaScript, line for line (Node's own type stripping), with declarations by tsc beside them.
// Words choose packages by their room, with all that they depend on; the directory is `dist` unless `--out DIR` is given.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readWorkspaceFile, root, workspaceFiles } from './workspace.ts';

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly exports: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: unknown;
}

const { values, positionals } = parseArgs({
  options: { out: { type: 'string', default: 'dist' } },
  allowPositionals: true,
});
const out = resolve(root, values.out);
const manifests = new Map(
  workspaceFiles('packages/*/package.json').map((path) => {
    const manifest: Manifest = JSON.parse(readWorkspaceFile(path));
    return [path.split('/')[1] ?? '', manifest] as const;
  }),
);
const rooms = chosenRooms(positionals);
rmSync(out, { recursive: true, force: true });
const declarations = join(out, '.declarations');
emitDeclarations(declarations);
for (const room of rooms) buildRoom(room);
rmSync(declarations, { recursive: true });
console.log(`built ${rooms.join(', ')} in ${out}`);

function chosenRooms(words: readonly string[]): string[] {
  const all = [...manifests].filter(([, { private: isPrivate }]) => isPrivate !== true);
  const found = new Set(words.length === 0 ? all.map(([room]) => room) : words);
  for (const room of found) {
    const manifest = manifests.get(room);
    if (manifest === undefined) throw new Error(`there is no package "${room}"`);
    for (const name of Object.keys(manifest.dependencies ?? {})) {
      if (name.startsWith('@countersign/')) found.add(name.slice('@countersign/'.length));
    }
  }
  return [...found].sort();
}

function emitDeclarations(directory: string): void {
  const tsc = join(root, 'node_modules', '.bin', 'tsc');
  const options = ['--noEmit', 'false', '--declaration', '--emitDeclarationOnly'];
  execFileSync(tsc, ['-p', '.', ...options, '--rootDir', '.', '--outDir', directory], {
    cwd: root,
    stdio: 'inherit',
  });
}

function buildRoom(room: string): void {
  const from = `packages/${room}`;
  const { devDependencies: _, ...manifest } = manifests.get(room) as Manifest;
  const exported = Object.entries(manifest.exports).map(([subpath, source]) => [
    subpath,
    { types: source.replace(/\.ts$/, '.d.ts'), default: source.replace(/\.ts$/, '.js') },
  ]);
  const published = { ...manifest, exports: Object.fromEntries(exported) };
  write(join(room, 'package.json'), `${JSON.stringify(published, undefined, 2)}\n`);
  const sources = workspaceFiles(`${from}/src/**/*.ts`).filter(
    (path) => !/\.(?:test|suite)\.ts$/.test(path),
  );
  for (const path of sources) {
    const inRoom = path.slice('packages/'.length).replace(/\.ts$/, '');
    const code = stripTypeScriptTypes(readWorkspaceFile(path), { mode: 'strip' });
    write(`${inRoom}.js`, toJavaScriptNames(code));
    const declared = join(declarations, path.replace(/\.ts$/, '.d.ts'));
    write(`${inRoom}.d.ts`, toJavaScriptNames(readFileSync(declared, 'utf8')));
  }
  const proto = join(root, from, 'proto');
  if (existsSync(proto)) cpSync(proto, join(out, room, 'proto'), { recursive: true });
  cpSync(join(root, 'LICENSE'), join(out, room, 'LICENSE'));
}

/** Imports of files beside name them as they are there. */
function toJavaScriptNames(code: string): string {
  return code.replace(/((?:from|import)\s*\(?\s*['"]\.{1,2}\/[^'"]*)\.ts(['"])/g, '$1.js$2');
}

function write(path: string, text: string): void {
  const target = join(out, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text);
}
