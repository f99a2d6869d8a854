// `npm run build`: the command as it is installed. Node strips no types under node_modules, and takes half a millisecond of
// CPU a module: so it is a few files of JavaScript in apps/cli/dist, which `npm pack -w apps/cli` packs.
// In the repository `countersign` runs them as long as no file that they were made of has changed, else the sources.
// Does nothing while they are fresh; with `--or-sources`, what cannot be built is said and no failure: the sources run.
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { isBuiltin } from 'node:module';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { OutputAsset, OutputChunk, Plugin } from 'rolldown';
import { builtCommand, traceOf } from '../apps/cli/bin/built-command.js';
import { bundledLicenses } from './bundled-licenses.ts';
import { root, workspaceFiles } from './workspace.ts';

type Output = readonly (OutputChunk | OutputAsset)[];

const app = join(root, 'apps', 'cli');
const dist = join(app, 'dist');
/** Older builds may have processes that still load from them. */
const keptMs = 24 * 3_600_000;
const manifest: Record<
  'dependencies' | 'optionalDependencies',
  Record<string, string>
> = JSON.parse(readFileSync(join(app, 'package.json'), 'utf8'));
const external = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });

try {
  // Somebody may save a file meanwhile.
  for (let attempts = 3; attempts > 0 && builtCommand(app) === undefined; attempts -= 1) {
    const changed = await build();
    if (changed !== undefined && attempts === 1)
      throw new Error(`"${changed}" changed while it was built`);
  }
} catch (thrown) {
  if (!process.argv.includes('--or-sources')) throw thrown;
  console.error(`build the command: ${String(thrown)}; its sources run as they are`);
}

/** @returns the path of what changed meanwhile, so that the build is not in force */
async function build(): Promise<string | undefined> {
  // The file system's clock is a few milliseconds behind.
  const began = Date.now() - 20;
  // 1. bundle
  const { rolldown } = await import('rolldown');
  const copied = new Set<string>();
  const bundle = await rolldown({
    cwd: root,
    platform: 'node',
    input: { main: join(app, 'src/main.ts'), pebble: join(app, 'src/pebble/main.ts') },
    external: [/^node:/, ...external.map((name) => new RegExp(`^${name}(?:/|$)`))],
    plugins: [filesBeside(copied)],
    onLog(level, log) {
      if (level === 'warn' && log.code !== 'EVAL') throw new Error(log.message);
    },
  });
  const { output } = await bundle.generate({
    // Nothing is written there: it says how deep a build is, for the paths in the source maps.
    dir: join(dist, 'build'),
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
    sourcemap: true,
    sourcemapExcludeSources: true,
    comments: { legal: false, annotation: false, jsdoc: false },
  });
  await bundle.close();
  checkImports(output);
  // 2. what it was made of, and that nobody wrote to it meanwhile
  const inputs = inputsOf(output, copied);
  const traces = inputs.map((path) => [path, ...traceOf(join(root, path))] as const);
  const changed = traces.find(([, , , changedMs]) => changedMs >= began);
  if (changed !== undefined) return changed[0];
  // 3. whole under a name of its own, then in force
  const name = writeBuild(output, copied);
  replaceFile('inputs.json', JSON.stringify({ directory: name, files: traces }));
  replaceFile('build.json', JSON.stringify({ directory: name }));
  // Of all builds, the one in force goes into the package.
  replaceFile('.npmignore', `/*\n!/build.json\n!/${name}/`);
  removeOldBuilds(name);
  console.error(`built ${relative(root, join(dist, name))} in ${Date.now() - began} ms`);
  return undefined;
}

/**
 * What the sources find relative to themselves: programs become files of the bundle, files of the package stay where
 * they are, others are copied. A form that it does not know fails the build.
 */
function filesBeside(copied: Set<string>): Plugin {
  const file = /new URL\(\s*'(\.[^']+)',\s*import\.meta\.url,?\s*\)/g;
  /** Under the ending of the file that asks, so that it stands as it is. */
  const program =
    /new URL\(\s*`(\.[^`$]+)\$\{extname\(import\.meta\.url\)\}`,\s*import\.meta\.url,?\s*\)/g;
  const asked = /createRequire\(import\.meta\.url\)|from: string = import\.meta\.url/g;
  return {
    name: 'files-beside',
    transform(code, id) {
      if (id.includes('/node_modules/') || !code.includes('import.meta')) return null;
      const programs = [...code.matchAll(program)].map(([, path]) => `${path}.ts`);
      const files = [...code.matchAll(file)].map(([, path]) => String(path));
      for (const path of [...programs, ...files.filter((each) => each.endsWith('.ts'))]) {
        const target = resolve(dirname(id), path);
        this.emitFile({ type: 'chunk', id: target, fileName: `${basename(target, '.ts')}.js` });
      }
      const rest = [file, program, asked].reduce((text, form) => text.replace(form, ''), code);
      if (rest.includes('import.meta'))
        throw new Error(`${relative(root, id)} uses import.meta in a way that no bundle knows`);
      const placed = (_: string, path: string) =>
        `new URL('${placeOf(resolve(dirname(id), path))}', import.meta.url)`;
      return { code: code.replace(file, placed), map: null };
    },
  };

  function placeOf(target: string): string {
    if (target.endsWith('.ts')) return `./${basename(target, '.ts')}.js`;
    // A build is two directories below the package: dist/<name>.
    if (target.startsWith(`${app}/`)) return `../../${relative(app, target)}`;
    // With what is beside it, which it may import.
    for (const name of readdirSync(dirname(target))) copied.add(join(dirname(target), name));
    return `./${basename(target)}`;
  }
}

/** A package that is neither bundled nor declared would be missing where the command is installed. */
function checkImports(output: Output): void {
  for (const chunk of output) {
    if (chunk.type !== 'chunk') continue;
    for (const name of [...chunk.imports, ...chunk.dynamicImports]) {
      const isOurs = output.some(({ fileName }) => fileName === name);
      const isDeclared = external.some((each) => name === each || name.startsWith(`${each}/`));
      if (!isOurs && !isDeclared && !name.startsWith('node:') && !isBuiltin(name))
        throw new Error(`${chunk.fileName} imports "${name}", no dependency of the package`);
    }
  }
}

/** Paths from the root: our own files, and for everybody else's the note that npm keeps of what it installed. */
function inputsOf(output: Output, copied: ReadonlySet<string>): string[] {
  const modules = modulesOf(output).filter((id) => !id.includes('/node_modules/'));
  return [
    ...[...modules, ...copied].map((path) => relative(root, path)),
    ...workspaceFiles('package.json', 'apps/*/package.json', 'packages/*/package.json'),
    ...['scripts/build-command.ts', 'scripts/bundled-licenses.ts', 'LICENSE', 'tsconfig.json'],
    'node_modules/.package-lock.json',
  ].sort();
}

function modulesOf(output: Output): string[] {
  const modules = output.flatMap((each) => (each.type === 'chunk' ? each.moduleIds : []));
  return modules.filter((id) => isAbsolute(id));
}

/** @returns its name, which is a digest of what is in it */
function writeBuild(output: Output, copied: ReadonlySet<string>): string {
  const files = new Map<string, string | Uint8Array>(
    output.map((each) => [each.fileName, each.type === 'chunk' ? inAscii(each.code) : each.source]),
  );
  for (const path of copied) files.set(basename(path), readFileSync(path));
  files.set('licenses.txt', bundledLicenses(modulesOf(output)));
  files.set('LICENSE', readFileSync(join(root, 'LICENSE')));
  const hash = createHash('sha256');
  for (const [name, content] of files) hash.update(`${name}\0`).update(content).update('\0');
  const name = hash.digest('hex').slice(0, 16);
  const target = join(dist, name);
  if (existsSync(target)) {
    utimesSync(target, new Date(), new Date());
    return name;
  }
  const partial = join(dist, `.partial-${process.pid}`);
  mkdirSync(partial, { recursive: true });
  for (const [file, content] of files) writeFileSync(join(partial, file), content);
  renameSync(partial, target);
  return name;
}

/** One letter beyond Latin-1 doubles what a file takes in memory, where it stays. Such stand in literals alone here. */
function inAscii(code: string): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return code.replace(/[^\0-\x7f]/g, escaped);
}

function replaceFile(name: string, text: string): void {
  const partial = join(dist, `.partial-${process.pid}-${name}`);
  writeFileSync(partial, `${text}\n`);
  renameSync(partial, join(dist, name));
}

function removeOldBuilds(current: string): void {
  for (const entry of readdirSync(dist, { withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name === current) continue;
    const path = join(dist, entry.name);
    const ageMs = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0);
    if (ageMs >= keptMs) rmSync(path, { recursive: true, force: true });
  }
}
