import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { softTpmServerMissing, startSoftTpmServer } from '@countersign/testkit';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

const softModule = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
].find((path) => existsSync(path));

interface HardwareKey {
  readonly uri: string;
  /** Another key in the same place. */
  readonly other: string;
  /** What of the URI may be wrong, and how. */
  readonly mistakes: readonly (readonly [right: string | RegExp, wrong: string])[];
  readonly env: Readonly<Record<string, string>>;
}

const places: readonly (readonly [
  name: string,
  skip: string | false,
  make: (t: TestContext, directory: string) => Promise<HardwareKey>,
])[] = [
  ['a token (SoftHSM2)', softHsmMissing(), keysInToken],
  ['a TPM (swtpm)', softTpmServerMissing(), keysInTpm],
];

for (const [name, skip, make] of places) {
  describe(`a proof key in ${name}`, { skip, timeout: 300_000 }, () => {
    it('enrols and renews; the short-lived key that was stolen does not', async (t) => {
      const directory = await temporaryDirectory(t);
      const key = await make(t, directory);
      const { run, token, url } = await authorityIn(t, directory, key.env);
      const own = join(directory, 'payments');

      // 1. enrolled with the key, renewed with the key
      const proof = ['--proof-key', key.uri];
      const enrolled = ['enrol', '--ca', url, '--token', await token('payments'), '--out', own];
      await run([...enrolled, ...proof]);
      await run(['renew', '--identity', own, ...proof]);

      // 2. a thief has every file, and no key; or another key
      const without = await run(['renew', '--identity', own], 1);
      assert.equal(lastLine(without.stderr), 'ERR_PROOF_MISSING');
      const by = await run(['renew', '--identity', own, '--proof-key', key.other], 1);
      assert.equal(lastLine(by.stderr), 'ERR_PROOF_OTHER');
      await run(['renew', '--identity', own, ...proof]);

      // 3. what keeps files fresh has its identity so too
      const keep = join(directory, 'keep.yaml');
      await writeFile(keep, 'certificates: []\n');
      const keeper = join(directory, 'keeper');
      const words = ['keep', '--config', keep, '--once', '--identity', keeper, '--ca', url];
      await run([...words, '--token', await token('keeper'), ...proof]);
      const ran = await run(['exec', '--identity', keeper, ...proof, '--', 'true']);
      assert.equal(ran.stdout, '');
      const bare = await run(['renew', '--identity', keeper], 1);
      assert.equal(lastLine(bare.stderr), 'ERR_PROOF_MISSING');
      await run(['renew', '--identity', keeper, ...proof]);
    });

    it('is refused where it is not there, and as the key of TLS', async (t) => {
      const directory = await temporaryDirectory(t);
      const key = await make(t, directory);
      const { run, token, url } = await authorityIn(t, directory, key.env);
      const enrol = ['enrol', '--ca', url, '--token', await token('payments')];
      const own = ['--out', join(directory, 'payments')];
      const missing = key.uri.replace('laptop', 'nobody').replace('0x81000001', '0x81004711');
      const gone = await run([...enrol, ...own, '--proof-key', missing], 'any');
      assert.match(lastLine(gone.stderr), /^ERR_(SIGNER_KEY|TPM_COMMAND)$/);
      assert.match(gone.stderr, /^hint: .*(object|handle)/m);
      const asTls = await run([...enrol, ...own, '--key-type', key.uri], 2);
      assert.equal(lastLine(asTls.stderr), 'ERR_IDENTITY_TLS_KEY');
      const unknown = await run([...enrol, ...own, '--proof-key', 'yubikey:1'], 2);
      assert.equal(lastLine(unknown.stderr), 'ERR_IDENTITY_PROOF_KEY');
      // Whoever gives the option has no ca.yaml.
      for (const [right, wrong] of key.mistakes) {
        const proof = key.uri.replace(right, wrong);
        assert.notEqual(proof, key.uri);
        const refused = await run([...enrol, ...own, '--proof-key', proof], 'any');
        assert.match(refused.stderr, /^hint: .*(--proof-key|pkcs11-tool)/m);
        assert.doesNotMatch(refused.stderr, /ca\.yaml|hsm\.|hierarchy/);
      }
    });
  });
}

async function authorityIn(
  t: TestContext,
  directory: string,
  env: Readonly<Record<string, string>>,
) {
  const config = join(directory, 'ca.yaml');
  const data = join(directory, 'state');
  await writeFile(config, authorityYaml());
  const run = async (words: readonly string[], code: number | 'any' = 0) => {
    const ran = await countersign(words, { env, timeoutMs: 60_000 });
    if (code !== 'any') assert.equal(ran.code, code, `${words.join(' ')}: ${ran.stderr}`);
    return ran;
  };
  await run(['init', '--config', config, '--data', data]);
  const serve = ['ca', 'serve', '--config', config, '--data', data, '--port', '0'];
  const { urls } = await startCountersign(t, serve);
  const token = async (name: string) => {
    const made = await run(['token', 'create', '--data', data, '--spiffe-id', id(name)]);
    return made.stdout.trim();
  };
  return { run, token, url: urls[0] ?? '' };
}

function softHsmMissing(): string | false {
  if (softModule === undefined) return 'no libsofthsm2.so (Debian: apt-get install softhsm2)';
  const missing = ['softhsm2-util', 'pkcs11-tool'].find(
    (each) => spawnSync('which', [each]).status !== 0,
  );
  return missing === undefined ? false : `no ${missing} (Debian: apt-get install softhsm2 opensc)`;
}

async function keysInToken(_: TestContext, directory: string): Promise<HardwareKey> {
  const tokens = join(directory, 'tokens');
  await mkdir(tokens);
  const conf = join(directory, 'softhsm2.conf');
  await writeFile(conf, `directories.tokendir = ${tokens}\nobjectstore.backend = file\n`);
  await writeFile(join(directory, 'pin'), '4711\n', { mode: 0o600 });
  const env = { SOFTHSM2_CONF: conf };
  const run = (command: string, words: readonly string[]) =>
    execFileSync(command, words, { env: { ...process.env, ...env }, stdio: 'pipe' });
  const pins = ['--so-pin', 'so-4711', '--pin', '4711'];
  run('softhsm2-util', ['--init-token', '--free', '--label', 'machine', ...pins]);
  const tool = [
    '--module',
    softModule ?? '',
    '--token-label',
    'machine',
    '--login',
    '--pin',
    '4711',
  ];
  for (const [label, number] of [
    ['laptop', '01'],
    ['other', '02'],
  ] as const) {
    const made = ['--keypairgen', '--key-type', 'EC:prime256v1', '--label', label, '--id', number];
    run('pkcs11-tool', [...tool, ...made]);
  }
  const query = `module-path=${softModule}&pin-source=file:${join(directory, 'pin')}`;
  const uri = (label: string) => `pkcs11:token=machine;object=${label}?${query}`;
  await writeFile(join(directory, 'wrong-pin'), '0815\n', { mode: 0o600 });
  const mistakes = [
    ['token=machine', 'token=elsewhere'],
    [/module-path=[^&]*/, 'module-path=/nowhere/module.so'],
    [/\/pin$/, '/no-pin'],
    [/\/pin$/, '/wrong-pin'],
    ['object=laptop', 'object=nobody'],
  ] as const;
  return { uri: uri('laptop'), other: uri('other'), mistakes, env };
}

async function keysInTpm(t: TestContext): Promise<HardwareKey> {
  const server = await startSoftTpmServer();
  t.after(() => server.remove());
  for (const [handle, kind] of [
    ['0x81000001', 'ecc256:ecdsa'],
    ['0x81000002', 'rsa2048:rsassa'],
  ] as const) {
    const bound = 'fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign';
    server.tool('tpm2_createprimary', '-C', 'o', '-G', kind, '-c', 'key.ctx', '-a', bound);
    server.tool('tpm2_evictcontrol', '-C', 'o', '-c', 'key.ctx', handle);
    server.tool('tpm2_flushcontext', '-t');
  }
  const uri = (handle: string) => `tpm:${handle}?device=${server.socket}`;
  const mistakes = [['0x81000001', '0x81004711']] as const;
  return { uri: uri('0x81000001'), other: uri('0x81000002'), mistakes, env: {} };
}
