// Runs before `npm start`, `npm test` and the other commands, on whatever Node the machine has (18 or later):
// installs exactly what package-lock.json says when node_modules does not hold that already.
// With `--build` it then builds the command, where that is not fresh; without a build its sources run.
// Plain JavaScript, since an older Node cannot run TypeScript.
'use strict';
const { createHash } = require('node:crypto');
const { spawnSync } = require('node:child_process');
const { existsSync, readFileSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');

const root = join(__dirname, '..');
const modules = join(root, 'node_modules');
const stamp = join(modules, '.countersign-installed');
const wanted = createHash('sha256')
  .update(readFileSync(join(root, 'package-lock.json')))
  .digest('hex');

const own = join(modules, '.bin', process.platform === 'win32' ? 'node.cmd' : 'node');
if (!isInstalled()) install();
requireModernNode();
if (process.argv.includes('--build')) build();

function isInstalled() {
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return true;
  if (!isInstalledByNpm()) return false;
  writeFileSync(stamp, wanted);
  return true;
}

/** Whoever ran `npm ci` has all of it already: npm keeps beside it what it installed. */
function isInstalledByNpm() {
  const has = packagesIn(join(modules, '.package-lock.json'));
  const named = packagesIn(join(root, 'package-lock.json'));
  if (has === undefined || named === undefined) return false;
  return Object.entries(named).every(([path, { version, integrity, ...more }]) => {
    const present = has[path];
    if (present === undefined) return path === '' || isOmitted(more);
    return present.version === version && present.integrity === integrity;
  });
}

function packagesIn(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    // None that can be read: install.
    return undefined;
  }
}

/** Of an optional package for another machine, or which says nothing of machines and so came with such a one. */
function isOmitted({ optional, os, cpu, libc }) {
  if (optional !== true) return false;
  const isForHere =
    os?.includes(process.platform) !== false && cpu?.includes(process.arch) !== false;
  return !isForHere || libc !== undefined || (os === undefined && cpu === undefined);
}

function install() {
  process.stderr.write('countersign: installing what package-lock.json names, once …\n');
  const npm = process.env.npm_execpath;
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline'];
  const done = npm
    ? spawnSync(process.execPath, [npm, ...args], { cwd: root, stdio: ['ignore', 2, 2] })
    : spawnSync('npm', args, {
        cwd: root,
        stdio: ['ignore', 2, 2],
        shell: process.platform === 'win32',
      });
  if (done.error || done.status !== 0) {
    const reason = done.error ? done.error.message : `npm ci ended with ${done.status}`;
    process.stderr.write(
      `countersign: install dependencies: ${reason}\nhint: check that the npm registry can be reached, then run it again\n`,
    );
    process.exit(1);
  }
  writeFileSync(stamp, wanted);
}

function requireModernNode() {
  if (existsSync(own) || Number(process.versions.node.split('.')[0]) >= 24) return;
  process.stderr.write(
    `countersign: needs Node 24 or later, this is ${process.versions.node}, and npm has no Node 26 package for ` +
      `${process.platform}-${process.arch}\nhint: install Node 24 or later, then run it again\n`,
  );
  process.exit(2);
}

/** By the Node just installed, which the shell of this script does not know yet. */
function build() {
  const node = existsSync(own) ? own : process.execPath;
  const args = [join(__dirname, 'build-command.ts'), '--or-sources'];
  spawnSync(node, args, { cwd: root, stdio: ['ignore', 2, 2], shell: node.endsWith('.cmd') });
}
