import assert from 'node:assert/strict';
import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { countersign, type Started, startCountersign, temporaryDirectory } from './countersign.ts';

test('an offline root and the intermediate below it are replaced by what is carried, while the authority serves', {
  timeout: 300_000,
}, async (t) => {
  const home = await temporaryDirectory(t);
  const file = (name: string) => join(home, name);
  const data = ['--data', file('state')];
  const run = async (...words: string[]) => {
    const ran = await countersign(words);
    assert.equal(ran.code, 0, `${words.join(' ')}\n${ran.stderr}`);
    return ran.stdout;
  };
  const step = async (...words: string[]) =>
    JSON.parse(await run('root', ...words, ...data, '-o', 'json'));
  const sign = (root: string, csr: string, out: string, ...more: string[]) =>
    run('sign', '--root', file(root), '--csr', file(csr), '--out', file(out), ...more);

  // 1. an authority whose root is away, serving, and a workload of it
  await writeFile(file('ca.yaml'), authorityYaml());
  const vault = ['--offline-root', '--root-out', file('vault'), '--by', 'Alice Adams'];
  await run('init', '--config', file('ca.yaml'), ...data, ...vault);
  await sign('vault', 'state/requests/services.csr', 'services.pem');
  await run('init', ...data, '--signed', file('services.pem'));
  assert.deepEqual(await readdir(file('state/requests')), []);
  const serve = () =>
    startCountersign(t, ['ca', 'serve', '--config', file('ca.yaml'), ...data, '--port', '0']);
  let server: Started = await serve();
  const token = (await run('token', 'create', ...data, '--spiffe-id', id('web'))).trim();
  await run('enrol', '--ca', server.urls[0] ?? '', '--token', token, '--out', file('web'));
  const renew = () => run('renew', '--ca', server.urls[0] ?? '', '--identity', file('web'));
  const verify = (bundle: string) => run('verify', '--bundle', file(bundle), file('web/chain.pem'));
  await run('verify', '--bundle', file('vault/root.pem'), file('web/chain.pem'));
  const killed = async () => {
    await server.end('SIGKILL');
    server = await serve();
  };

  await t.test('the intermediate', async () => {
    const prepare = ['prepare', '--intermediate', 'services'];
    const { requests, state } = await step(...prepare, '--out', file('out'), '--by', 'Bob Berg');
    assert.deepEqual([state, requests.length], ['making', 1]);
    const again = await run('root', ...prepare, ...data, '--out', file('out'));
    assert.match(again, /then here: countersign root prepare --intermediate services --import/);
    await killed();
    assert.deepEqual((await step('show', '--intermediate', 'services')).requests, requests);
    assert.deepEqual(await readdir(file('out')), ['services.2-by-root.csr']);
    const known = await countersign([
      ...['root', ...prepare, ...data],
      ...['--import', file('vault/root.pem')],
    ]);
    assert.equal(known.code, 0, known.stderr);
    assert.match(known.stderr, /note: "[^"]*root\.pem", serial 01\w+, is passed over: the hier/);
    await sign('vault', 'out', 'back', '--by', 'Bob Berg');
    const told = await run(
      'root',
      ...prepare,
      ...data,
      '--import',
      file('back'),
      '--by',
      'Bob Berg',
    );
    assert.match(told, /ceremony record\n {2}act +certificates taken\n[\s\S]*who +Bob Berg, /);
    assert.match(told, /taken +"services\.2" by "root", serial 01[\s\S]*SHA-256 +[0-9a-f]{64}/);
    await step('activate', '--intermediate', 'services');
    await renew();
    await verify('vault/root.pem');
    await step('retire', '--intermediate', 'services', '--force');
  });

  await t.test('the root', async () => {
    // 2. its next key, beside the one of now
    const refused = await countersign(['root', 'prepare', ...data]);
    assert.equal(lastLine(refused.stderr), 'ERR_ROTATION_OFFLINE');
    assert.match(refused.stderr, /hint: .*--request FILE/);
    const next = ['--offline-root', '--root-out', file('next'), '--request', file('root-2.csr')];
    const made = await run('init', '--config', file('ca.yaml'), ...next, '--by', 'Alice Adams');
    assert.match(made, /act +root key made[\s\S]*who +Alice Adams, [\s\S]*key SHA-256/);

    // 3. requests, which the two roots sign for each other; a swapped one is refused by its name
    await step('prepare', '--import', file('root-2.csr'));
    assert.deepEqual((await readdir(file('state/requests'))).sort(), [
      'root-by-root.2.csr',
      'root.2-by-root.2.csr',
      'root.2-by-root.csr',
      'services.2-by-root.2.csr',
    ]);
    await killed();
    const link = file('state/requests/root.2-by-root.csr');
    const swapped = await countersign([
      ...['sign', '--root', file('next'), '--other-root', file('vault'), '--csr', link],
      ...['--out', file('swapped.pem')],
    ]);
    assert.match(
      swapped.stderr,
      /"[^"]*root\.2-by-root\.csr" is for the key "[0-9a-f]{64}" to sign/,
    );
    await sign(
      'next',
      'state/requests',
      'back',
      '--other-root',
      file('vault'),
      '--by',
      'Alice Adams',
    );
    await sign(
      'vault',
      'state/requests',
      'back',
      '--other-root',
      file('next'),
      '--by',
      'Alice Adams',
    );
    // Beside what came back for the intermediate, which is no news.
    assert.equal((await readdir(file('back'))).length, 5);

    // 4. carried back, in two parts with a crash between
    await rename(file('back/root.2-by-root.pem'), file('link.pem'));
    assert.equal((await step('prepare', '--import', file('back'))).state, 'making');
    await killed();
    const whole = await step('prepare', '--import', file('link.pem'), '--by', 'Bob Berg');
    assert.deepEqual([whole.state, whole.anchors.length, whole.taken.length], ['prepared', 2, 1]);

    // 5. as every other rotation; whoever has either root gets there
    const early = await countersign(['root', 'activate', ...data]);
    assert.equal(lastLine(early.stderr), 'ERR_ROTATION_UPTAKE');
    assert.match(early.stderr, /hint: .*renew each where it runs/);
    await renew();
    for (const bundle of ['vault/root.pem', 'next/root.pem']) await verify(bundle);
    await untilDone(() => countersign(['root', 'activate', ...data]), renew);
    await renew();
    for (const bundle of ['vault/root.pem', 'next/root.pem']) await verify(bundle);
    await killed();
    await step('retire', '--force');
    await renew();
    await verify('next/root.pem');
    assert.equal(
      await readFile(file('web/bundle.pem'), 'utf8'),
      await readFile(file('next/root.pem'), 'utf8'),
    );

    // 6. what was done, by whom, with which hash
    const records = await readFile(file('next/ceremony.jsonl'), 'utf8');
    assert.deepEqual(
      records
        .split('\n')
        .flatMap((line) => (line === '' ? [] : (JSON.parse(line).record?.act ?? []))),
      ['root key made', 'root signed', 'root cross-signed', 'intermediate signed'],
    );
    const trail = await run('audit', 'export', ...data);
    assert.match(trail, /import[\s\S]*root\.2 by root [0-9a-f]{64}/);
    assert.equal((await countersign(['audit', 'verify', ...data])).code, 0);
  });
  await server.end();
});

/** A bundle that was given within a second of its change counts at the next renewal. */
async function untilDone(
  attempt: () => ReturnType<typeof countersign>,
  between: (t?: TestContext) => Promise<unknown>,
): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const ran = await attempt();
    if (ran.code === 0) return;
    assert.ok(tries < 5 && lastLine(ran.stderr) === 'ERR_ROTATION_UPTAKE', ran.stderr);
    await between();
  }
}
