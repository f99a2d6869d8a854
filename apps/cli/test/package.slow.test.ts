import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';

const root = join(import.meta.dirname, '..', '..', '..');
const run = promisify(execFile);
const patienceMs = 5 * 60_000;

suite('the package, installed where there is no repository', () => {
  let home = '';
  let bin = '';
  let env: NodeJS.ProcessEnv = {};
  const countersign = async (...words: string[]) =>
    (await run(process.execPath, [bin, ...words], { cwd: home, env, timeout: patienceMs })).stdout;

  before(async () => {
    home = await mkdtemp(join(tmpdir(), 'countersign-package-'));
    const {
      NODE_OPTIONS: _,
      NODE_TEST_CONTEXT: __,
      NODE_COMPILE_CACHE: ___,
      ...rest
    } = process.env;
    env = { ...rest, HOME: home, XDG_CACHE_HOME: join(home, 'cache') };
    const options = { cwd: root, timeout: patienceMs };
    await run('npm', ['pack', '-w', 'apps/cli', '--pack-destination', home], options);
    await writeFile(join(home, 'package.json'), '{"private":true}');
    const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts'];
    const archive = (await readdir(home)).find((name) => name.endsWith('.tgz')) ?? '';
    await run('npm', ['install', ...quiet, `./${archive}`], { ...options, cwd: home });
    bin = join(home, 'node_modules', 'countersign', 'bin', 'countersign.js');
    await cp(join(root, 'examples', 'first', 'ca.yaml'), join(home, 'ca.yaml'));
  });
  after(() => rm(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }));

  test('it holds no sources, and the licences of all that is bundled into it', async () => {
    const directory = join(home, 'node_modules', 'countersign');
    assert.deepEqual((await readdir(directory)).sort(), ['bin', 'dist', 'package.json']);
    const { directory: name } = JSON.parse(
      await readFile(join(directory, 'dist', 'build.json'), 'utf8'),
    );
    assert.deepEqual((await readdir(join(directory, 'dist'))).sort(), [name, 'build.json'].sort());
    const licenses = await readFile(join(directory, 'dist', name, 'licenses.txt'), 'utf8');
    for (const each of licenses.split(`${'-'.repeat(80)}\n`))
      assert.match(each, /copyright|licen[cs]e$|no text of the licence/im, each.slice(0, 80));
    assert.match(licenses, /^zod \d/m);
  });

  test('countersign-pebble starts there as well', async () => {
    const pebble = join(home, 'node_modules', '.bin', 'countersign-pebble');
    const { stdout } = await run(pebble, ['-version'], { cwd: home, env, timeout: patienceMs });
    assert.match(stdout, /^Pebble version: countersign \d/);
  });

  test('an authority is made, issues, shows its root, proves its audit trail, and serves', async () => {
    await countersign('init', '--config', 'ca.yaml', '--data', 'state');
    const names = ['--spiffe-id', 'spiffe://example.com/shop', '--dns', 'shop.example.com'];
    await countersign('issue', '--data', 'state', ...names, '--out', 'shop');
    const judged = await countersign('verify', 'shop/chain.pem', '--bundle', 'shop/bundle.pem');
    assert.match(judged, /^ok/m);
    assert.match(await countersign('audit', 'verify', '--data', 'state'), /^sound: /);
    assert.match(
      await countersign('root', 'show', '--data', 'state'),
      /^root: steady\n {2}root: active, /,
    );

    const words = ['ca', 'serve', '--config', 'ca.yaml', '--data', 'state', '--port', '0'];
    const server = spawn(process.execPath, [bin, ...words, '--admin-port', '0'], {
      cwd: home,
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const ended = once(server, 'close');
    try {
      const said = String((await once(server.stdout, 'data'))[0]);
      assert.match(said, /^ready https:\/\/\S+ http:\/\/\S+/);
      const metrics = await fetch(`${said.split(/\s/)[2]}/metrics`);
      assert.match(await metrics.text(), /^countersign_/m);
    } finally {
      server.kill('SIGTERM');
    }
    assert.equal((await ended)[0], 0);
  });

  test('the whole story is told: gateway, workloads, router and its planner', async () => {
    assert.match(await countersign('demo', '--once'), /withheld {5}reports asks the same/);
  });

  test('every verb loads, and completion knows them all', async () => {
    const script = await countersign('completion', 'bash');
    for (const verb of ['agent', 'keep', 'router', 'scan']) assert.match(script, new RegExp(verb));
    assert.match(await countersign('router', 'schema'), /"\$schema"/);
    assert.match(await countersign('--version'), /^countersign \d+\.\d+\.\d+\n$/);
  });

  test('its compile cache is for its owner alone', async () => {
    const { mode } = await stat(join(home, 'cache', 'countersign'));
    assert.equal(mode & 0o777, 0o700);
  });
});
