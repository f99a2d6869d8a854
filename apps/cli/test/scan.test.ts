import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { generateKeyPairSync, hash, type KeyObject } from 'node:crypto';
import { chmod, copyFile, mkdir, readFile, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';
import { type Found, put, scan } from './scan-runs.ts';

const run = promisify(execFile);

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = pemOf(privateKey);
const spkiHash = hash('sha256', publicKey.export({ format: 'der', type: 'spki' }));
const plain = { format: 'pem', type: 'pkcs8' } as const;

test('a key that others or its group may read is a finding, one of its owner alone is listed with --all', async (t) => {
  const directory = await temporaryDirectory(t);
  await Promise.all([
    put(join(directory, 'world.pem'), pem, 0o644),
    put(join(directory, 'group.pem'), pem, 0o640),
    put(join(directory, 'own.pem'), pem, 0o600),
    put(join(directory, 'write-only.pem'), pem, 0o602),
  ]);
  const { findings, others } = await scan([directory, '--all'], 1);
  assert.deepEqual(
    findings.map(({ path, exposures }) => [path.slice(directory.length), exposures[0]]),
    [
      ['/group.pem', { kind: 'readable-by-group', mode: '0640' }],
      ['/world.pem', { kind: 'readable-by-others', mode: '0644' }],
    ],
  );
  assert.deepEqual(new Set(findings.map((each) => each.spkiHash)), new Set([spkiHash]));
  assert.deepEqual(
    others.map(({ path }) => path.slice(directory.length)),
    ['/own.pem', '/write-only.pem'],
  );

  await chmod(join(directory, 'world.pem'), 0o600);
  await chmod(join(directory, 'group.pem'), 0o600);
  const clean = await countersign(['scan', directory]);
  assert.equal(clean.code, 0, clean.stderr);
  assert.match(clean.stdout, /^0 private keys .*; 4 where they may be; 4 files/);
});

test('a key is known in every form, and what only speaks of keys is none', async (t) => {
  const directory = await temporaryDirectory(t);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const jwk = JSON.stringify(privateKey.export({ format: 'jwk' }));
  const secret = { cipher: 'aes-128-cbc', passphrase: 'correct horse' };
  const forms: Record<string, [string | Buffer, string, boolean]> = {
    'pkcs8.pem': [pem, 'PKCS #8', true],
    'notes.txt': [`first\r\n${pem.replaceAll('\n', '\r\n')}last\r\n`, 'PKCS #8', true],
    'in-json.json': [JSON.stringify({ private_key: pem }), 'PKCS #8', true],
    'indented.yaml': [`key: |\n${pem.replaceAll(/^/gm, '    ')}`, 'PKCS #8', true],
    'code.js': [
      `k = ${pem
        .trimEnd()
        .split('\n')
        .map((line) => `"${line}\\n"`)
        .join(' +\n  ')};`,
      'PKCS #8',
      true,
    ],
    'secret.yaml': [`  tls.key: ${Buffer.from(pem).toString('base64')}\n`, 'PKCS #8', true],
    'sec1.pem': [privateKey.export({ format: 'pem', type: 'sec1' }), 'SEC 1', true],
    'pkcs1.pem': [rsa.export({ format: 'pem', type: 'pkcs1' }), 'PKCS #1', true],
    'key.der': [privateKey.export({ format: 'der', type: 'pkcs8' }), 'PKCS #8', true],
    'sec1.der': [privateKey.export({ format: 'der', type: 'sec1' }), 'SEC 1', true],
    'pkcs1.der': [rsa.export({ format: 'der', type: 'pkcs1' }), 'PKCS #1', true],
    'set.json': [`{"keys":[${jwk}],"kty":1}`, 'JWK', true],
    'sealed.pem': [privateKey.export({ ...plain, ...secret }), 'encrypted PKCS #8', false],
    'sealed.der': [
      privateKey.export({ format: 'der', type: 'pkcs8', ...secret }),
      'encrypted PKCS #8',
      false,
    ],
    'old.pem': [rsa.export({ format: 'pem', type: 'pkcs1', ...secret }), 'PKCS #1', false],
  };
  for (const [name, [content]] of Object.entries(forms)) {
    await put(join(directory, name), content, 0o644);
  }
  const none = {
    'guide.md': '-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n',
    'public.json': JSON.stringify(publicKey.export({ format: 'jwk' })),
    'public.pem': publicKey.export({ format: 'pem', type: 'spki' }),
    'public.der': publicKey.export({ format: 'der', type: 'spki' }),
    'program.bin': Buffer.concat([Buffer.alloc(16), Buffer.from('-----BEGIN PRIVATE KEY-----')]),
  };
  for (const [name, content] of Object.entries(none)) {
    await put(join(directory, name), content, 0o644);
  }
  const { findings } = await scan([directory], 1);
  assert.deepEqual(
    Object.fromEntries(
      findings.map((each) => [
        each.path.slice(directory.length + 1),
        [each.form, each.spkiHash !== undefined, each.encrypted],
      ]),
    ),
    Object.fromEntries(
      Object.entries(forms).map(([name, [, form, open]]) => [name, [form, open, !open]]),
    ),
  );
  assert.equal(findings.find(({ path }) => path.endsWith('notes.txt'))?.line, 2);
});

test('a key far into a long text, and across what is read at once, is found once with its line', async (t) => {
  const directory = await temporaryDirectory(t);
  const line = `${'x'.repeat(99)}\n`;
  const filler = line.repeat(31_457);
  const cut = line.repeat(10_485).length;
  const long = `${filler.slice(0, cut)}${pem}${filler.slice(cut)}${pem}`;
  await put(join(directory, 'long.log'), long, 0o644);
  const { findings } = await scan([directory], 1);
  const after = 10_485 + pem.trimEnd().split('\n').length + (31_457 - 10_485) + 1;
  assert.deepEqual(
    findings.map((each) => each.line),
    [10_486, after],
  );
});

test('what git tracks is a finding, in indexes of every version, in working trees beside and below', async (t) => {
  if (!(await has('git'))) return t.skip('git is not installed');
  const directory = await temporaryDirectory(t);
  const repositories = ['sha1-2', 'sha1-3', 'sha1-4', 'sha1-split', 'sha256-2', 'sha256-4'];
  for (const name of repositories) await makeRepository(directory, name);
  const { findings, others } = await scan([directory, '--all'], 1);
  const pathsOf = (found: readonly Found[]) =>
    found.map(({ path }) => path.slice(directory.length + 1)).toSorted();
  const tracked = ['a.pem', 'deep/er/b.pem'];
  assert.deepEqual(
    pathsOf(findings),
    [
      ...repositories.flatMap((name) => tracked.map((path) => `${name}/${path}`)),
      'sha1-3/c.pem',
    ].toSorted(),
  );
  assert.deepEqual(
    new Set(findings.flatMap(({ exposures }) => exposures.map(({ kind }) => kind))),
    new Set(['tracked-by-git']),
  );
  assert.deepEqual(
    pathsOf(others),
    repositories.map((name) => `${name}/deep/untracked.pem`),
  );

  const main = join(directory, 'sha1-2');
  await git(main, 'commit', '-qm', 'keys');
  await git(main, 'worktree', 'add', '-q', join(directory, 'beside'));
  await chmod(join(directory, 'beside/a.pem'), 0o600);
  await chmod(join(directory, 'beside/deep/er/b.pem'), 0o600);
  const [beside, below] = await Promise.all([
    scan([join(directory, 'beside')], 1),
    scan([join(main, 'deep/er')], 1),
  ]);
  assert.equal(beside.findings.length, 2);
  assert.equal(below.findings.length, 1);

  // a damaged index is told, and does not pass for an empty one
  await truncate(join(main, '.git/index'), 80);
  const { unread } = await scan([join(main, 'deep')], 3);
  assert.equal(unread[0]?.code, 'ERR_CLI_SCAN_GIT');
});

test('archives of tar are read in each of its formats, compressed or not', async (t) => {
  if (!(await has('tar'))) return t.skip('tar is not installed');
  const directory = await temporaryDirectory(t);
  const long = `${'d'.repeat(60)}/${'e'.repeat(60)}/key.pem`;
  const longer = `${'ü'.repeat(80)}/${'f'.repeat(120)}/${'g'.repeat(120)}.pem`;
  const tree = join(directory, 'tree');
  await put(join(tree, 'key.pem'), pem, 0o600);
  await put(join(tree, long), pem, 0o600);
  await put(join(tree, longer), pem, 0o600);
  await put(join(tree, 'empty'), '', 0o600);
  await symlink('key.pem', join(tree, 'link.pem'));
  const all = ['key.pem', long, longer];
  const archives: Record<string, string[]> = {
    gnu: all,
    pax: all,
    ustar: ['key.pem', long],
    v7: ['key.pem'],
  };
  const out = join(directory, 'out');
  await mkdir(out);
  for (const [format, names] of Object.entries(archives)) {
    const file = join(out, `${format}.tar`);
    await run('tar', [
      '-C',
      tree,
      `--format=${format}`,
      '-cf',
      file,
      'empty',
      './link.pem',
      ...names,
    ]);
    const bytes = await readFile(file);
    await writeFile(join(out, `${format}.tar.gz`), gzipSync(bytes));
    await writeFile(join(out, `${format}.data`), zstdCompressSync(bytes));
  }
  const { findings, unread } = await scan([out], 1);
  assert.deepEqual(unread, []);
  const expected = Object.entries(archives).flatMap(([format, names]) =>
    ['data', 'tar', 'tar.gz'].flatMap((end) =>
      names.map((name) => `${out}/${format}.${end}!${name}`),
    ),
  );
  assert.deepEqual(findings.map(({ path }) => path).toSorted(), expected.toSorted());
  assert.equal(findings[0]?.exposures[0]?.kind, 'in-archive');
});

test('layers of images are read: docker save, and OCI layout as a directory and as an archive', async (t) => {
  if (!(await has('tar'))) return t.skip('tar is not installed');
  const directory = await temporaryDirectory(t);
  const tree = join(directory, 'tree');
  await put(join(tree, 'etc/tls/key.pem'), pem, 0o600);
  const layer = join(directory, 'layer.tar');
  await run('tar', ['-C', tree, '-cf', layer, 'etc']);
  const bytes = await readFile(layer);

  const saved = join(directory, 'saved');
  await put(join(saved, 'ab12/layer.tar'), bytes, 0o600);
  await put(
    join(saved, 'manifest.json'),
    '[{"Config":"c.json","Layers":["ab12/layer.tar"]}]',
    0o600,
  );
  const image = join(directory, 'image.tar');
  // docker writes the manifest last
  await run('tar', ['-C', saved, '-cf', image, 'ab12', 'manifest.json']);

  const layout = join(directory, 'layout');
  await put(join(layout, 'blobs/sha256/aa'), gzipSync(bytes), 0o600);
  await put(join(layout, 'blobs/sha256/bb'), zstdCompressSync(bytes), 0o600);
  await put(join(layout, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}', 0o600);
  await put(join(layout, 'index.json'), '{"schemaVersion":2,"manifests":[]}', 0o600);
  const archive = join(directory, 'layout.tar.gz');
  await run('tar', ['-C', layout, '-czf', archive, '.']);

  const { findings } = await scan([image, saved, layout, archive], 1);
  assert.deepEqual(
    findings
      .map(({ path, exposures }) => [path, exposures.map(({ kind }) => kind).join()])
      .toSorted(),
    [
      [`${image}!ab12/layer.tar!etc/tls/key.pem`, 'in-image'],
      [`${saved}/ab12/layer.tar!etc/tls/key.pem`, 'in-image'],
      [`${layout}/blobs/sha256/aa!etc/tls/key.pem`, 'in-image'],
      [`${layout}/blobs/sha256/bb!etc/tls/key.pem`, 'in-image'],
      [`${archive}!blobs/sha256/aa!etc/tls/key.pem`, 'in-image'],
      [`${archive}!blobs/sha256/bb!etc/tls/key.pem`, 'in-image'],
    ].toSorted(),
  );
});

test('what cannot be read is listed, and what stands beside it is read all the same', async (t) => {
  if (!(await has('tar'))) return t.skip('tar is not installed');
  const directory = await temporaryDirectory(t);
  const tree = join(directory, 'tree');
  await put(join(tree, 'key.pem'), pem, 0o600);
  const layer = join(directory, 'layer.tar');
  await run('tar', ['-C', tree, '-cf', layer, 'key.pem']);
  const packed = gzipSync(await readFile(layer));
  const damaged = Buffer.from(packed);
  damaged[14] = 0xff;
  await put(join(tree, '1-damaged.gz'), damaged, 0o600);
  await put(join(tree, '2-short.gz'), packed.subarray(0, 60), 0o600);
  await put(join(tree, '3-whole.gz'), packed, 0o600);
  const outer = join(directory, 'outer.tar');
  await run('tar', ['-C', tree, '-cf', outer, '1-damaged.gz', '2-short.gz', '3-whole.gz']);
  const half = join(directory, 'half.tar');
  await copyFile(outer, half);
  await truncate(half, 700);

  const beside = await scan([outer], 1);
  assert.deepEqual(
    beside.findings.map(({ path }) => path),
    [`${outer}!3-whole.gz!key.pem`],
  );
  assert.deepEqual(
    beside.unread.map(({ path, code }) => [path, code]),
    [
      [`${outer}!1-damaged.gz`, 'ERR_CLI_SCAN_ARCHIVE'],
      [`${outer}!2-short.gz`, 'ERR_CLI_SCAN_ARCHIVE'],
    ],
  );
  // no finding, yet not clean
  const { unread } = await scan([half, join(directory, 'missing')], 3);
  assert.deepEqual(
    unread.map(({ code, reason }) => [code, reason]),
    [
      ['ERR_CLI_SCAN_ARCHIVE', 'tar archive ends inside an entry'],
      ['ERR_CLI_SCAN_ARCHIVE', 'tar archive ends inside "1-damaged.gz"'],
      ['ERR_FILE', 'no such file'],
    ],
  );
});

test('links out of the tree are not followed, pipes not waited for, and nothing of a key is printed', async (t) => {
  const directory = await temporaryDirectory(t);
  await put(join(directory, 'out/key.pem'), pem, 0o644);
  await put(join(directory, 'in/some.txt'), 'text', 0o644);
  await symlink(join(directory, 'out'), join(directory, 'in/directory'));
  await symlink(join(directory, 'out/key.pem'), join(directory, 'in/file.pem'));
  await run('mkfifo', [join(directory, 'in/pipe')]);
  const inside = await countersign(['scan', join(directory, 'in'), '--all']);
  assert.equal(inside.code, 0, inside.stdout + inside.stderr);
  assert.match(inside.stdout, /1 file,/);

  const [text, json] = await Promise.all([
    countersign(['scan', directory]),
    countersign(['scan', directory, '-o', 'json']),
  ]);
  assert.equal(text.code, 1);
  const secret = pem.split('\n').slice(1, -2);
  const d = String(privateKey.export({ format: 'jwk' }).d);
  for (const output of [text.stdout, text.stderr, json.stdout, json.stderr]) {
    for (const part of [...secret, d]) assert.equal(output.includes(part), false);
  }
  assert.equal(text.stderr, '', 'no progress where nobody watches');
});

/** `FORMAT-VERSION`, with keys that are tracked and one that is not, all of their owner alone. */
async function makeRepository(directory: string, name: string): Promise<void> {
  const [format, version] = name.split('-');
  const repository = join(directory, name);
  await git(directory, 'init', '-q', `--object-format=${format}`, repository);
  if (version === 'split') await git(repository, 'config', 'core.splitIndex', 'true');
  else await git(repository, 'config', 'index.version', String(version));
  await put(join(repository, 'a.pem'), pem, 0o600);
  await put(join(repository, 'deep/er/b.pem'), pem, 0o600);
  await put(join(repository, 'deep/other.txt'), 'nothing', 0o600);
  await git(repository, 'add', '.');
  // version 3 is written where an entry has an extended flag
  if (version === '3') {
    await put(join(repository, 'c.pem'), pem, 0o600);
    await git(repository, 'add', '--intent-to-add', 'c.pem');
  }
  await put(join(repository, 'deep/untracked.pem'), pem, 0o600);
}

async function git(cwd: string, ...words: string[]): Promise<void> {
  const identity = { GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@example.com' };
  const env = {
    ...process.env,
    ...identity,
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@example.com',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
  };
  await run('git', words, { cwd, env });
}

async function has(tool: string): Promise<boolean> {
  return run(tool, ['--version']).then(
    () => true,
    () => false,
  );
}

function pemOf(key: KeyObject): string {
  return String(key.export({ format: 'pem', type: 'pkcs8' }));
}
