import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { temporaryDirectory } from './countersign.ts';
import { countersign } from './in-process.ts';

let directory = '';
const file = (name: string) => join(directory, name);
before(async (t) => {
  directory = await temporaryDirectory(t as never);
  await writeFile(file('ca.yaml'), authorityYaml());
});

test('an offline root signs a carried request, and the certificate completes init', async () => {
  const made = await countersign([
    ...['init', '--config', file('ca.yaml'), '--data', file('state')],
    ...['--offline-root', '--root-out', file('vault'), '--by', 'Alice Adams'],
  ]);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /^[0-9a-f]{64}\n$/);
  assert.match(
    made.stderr,
    /ceremony record\n {2}act +root made\n {2}when .*\n {2}who +Alice Adams, /,
  );
  assert.match(made.stderr, /countersign sign --root DIR --csr FILE/);
  assert.equal(existsSync(file('state/root.key.json')), false);

  const words = ['issue', '--data', file('state'), '--spiffe-id', id('web/a'), '--out'];
  const early = await countersign([...words, file('early')]);
  assert.equal(early.code, 2);
  assert.equal(lastLine(early.stderr), 'ERR_CEREMONY_PENDING');

  const sign = ['sign', '--root', file('vault'), '--csr', file('state/requests/services.csr')];
  const signed = await countersign([
    ...[...sign, '--out', file('services.pem'), '--by', 'Bob Berg', '-o', 'json'],
  ]);
  assert.equal(signed.code, 0, signed.stderr);
  const { record, name } = JSON.parse(signed.stdout);
  assert.equal(name, 'services');
  assert.equal(record.root, made.stdout.trim());
  assert.equal(record.by[0], 'Bob Berg');
  const again = await countersign([...sign, '--out', file('again.pem'), '--by', 'Carol Cox']);
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stdout, new RegExp(`certificate SHA-256 ${record.certificateSha256}`));
  // Who signed stands there still, and beside it who was given it again.
  assert.match(again.stdout, /who +Bob Berg, [\s\S]* given out again +\S+Z, to Carol Cox, /);
  assert.match(await readFile(file('vault/ceremony.jsonl'), 'utf8'), /"again".*"Carol Cox"/);
  assert.equal(
    await readFile(file('again.pem'), 'utf8'),
    await readFile(file('services.pem'), 'utf8'),
  );

  // Of a directory one document, also where a file in it stops the signing: what was signed by then stands.
  await mkdir(file('mixed'));
  await copyFile(file('state/requests/services.csr'), file('mixed/a.csr'));
  const directory = ['sign', '--root', file('vault'), '--csr', file('mixed')];
  const all = [...directory, '--out', file('mixed-out'), '--by', 'Carol Cox', '-o', 'json'];
  const names = (stdout: string) =>
    JSON.parse(stdout).signed.map(({ name }: { name: string }) => name);
  assert.deepEqual(names((await countersign(all)).stdout), ['services']);
  await writeFile(file('mixed/b.csr'), 'no request\n');
  const stopped = await countersign(all);
  assert.notEqual(stopped.code, 0);
  assert.deepEqual(names(stopped.stdout), ['services']);
  assert.match(
    JSON.parse(stopped.stderr).error.hint,
    /^signed before it, which stands: "[^"]*a\.pem";/,
  );

  const complete = ['init', '--data', file('state'), '--signed'];
  const other = await countersign([...complete, file('vault/root.pem')]);
  assert.match(other.stderr, /"[^"]*vault\/root\.pem" has serial "01\w+", which none waits for/);
  const done = await countersign([...complete, file('services.pem')]);
  assert.equal(done.code, 0, done.stderr);
  assert.equal(done.stdout, made.stdout);
  const issued = await countersign([...words, file('web')]);
  assert.equal(issued.code, 0, issued.stderr);
  const chain = ['verify', '--bundle', file('vault/root.pem'), file('web/chain.pem')];
  assert.equal((await countersign(chain)).code, 0);
});

test('its list is signed beside its key, carried across and published, once and never an older one', async () => {
  const { serialNumber } = new X509Certificate(await readFile(file('services.pem')));
  const sign = (name: string, ...more: string[]) =>
    countersign([
      ...['sign', '--root', file('vault'), '--crl', '--out', file(name), '--by', 'Bob Berg'],
      ...more,
    ]);
  const first = await sign('first.crl');
  assert.equal(first.code, 0, first.stderr);
  const second = await sign('second.crl', '--revoke', `${serialNumber}=cACompromise`);
  assert.equal(second.code, 0, second.stderr);
  const take = (name: string) =>
    countersign(['crl', '--data', file('state'), '--import', file(name), '-o', 'json']);
  // No key is opened for it, so that it does not matter where what seals them is.
  await rename(file('state/unseal.key'), file('unseal.key'));
  const taken = await take('second.crl');
  assert.equal(taken.code, 0, taken.stderr);
  await rename(file('unseal.key'), file('state/unseal.key'));
  const { issuer, untold, repeated } = JSON.parse(taken.stdout);
  assert.deepEqual([issuer, untold, repeated], ['root', [serialNumber.toLowerCase()], false]);
  const again = await take('second.crl');
  assert.equal(again.code, 0, again.stderr);
  assert.match(again.stderr, /it was imported before/);
  const older = await take('first.crl');
  assert.equal(older.code, 1);
  assert.match(older.stderr, /ERR_PUBLISH_IMPORT[\s\S]*has number \d+, the one at hand has \d+/);

  // What the list says of a key that issues now is a finding.
  const status = await countersign(['ca', 'status', '--data', file('state'), '-o', 'json']);
  assert.equal(status.code, 1, status.stdout);
  const serial = serialNumber.toLowerCase();
  assert.match(
    JSON.parse(status.stdout).findings[0].detail,
    new RegExp(
      `^certificate of "services", serial ${serial}, is revoked by list 2 of "root" .cACom`,
    ),
  );
});

test('options that would do nothing are refused, with exit code 2', async () => {
  const config = ['--config', file('ca.yaml')];
  const data = ['--data', file('other')];
  const rows: readonly (readonly [readonly string[], RegExp])[] = [
    [[...config, ...data, '--offline-root'], /--root-out is missing/],
    [
      [...config, ...data, '--root-out', file('v')],
      /--root-out does nothing beside a root in the data/,
    ],
    [[...config, ...data, '--signed', 'x.pem'], /--config does nothing beside --signed/],
    [data, /--config is missing/],
  ];
  const others: typeof rows = [
    [['sign', '--root', 'v', '--csr', 'c', '--out', 'o', '--revoke', '01'], /which --crl signs/],
    [['crl', '--ca', 'http://127.0.0.1:1', '--import', 'x.crl'], /--import goes with --data/],
  ];
  for (const [words, message] of [
    ...rows.map(([words, message]) => [['init', ...words], message] as const),
    ...others,
  ]) {
    const ran = await countersign([...words]);
    assert.equal(ran.code, 2, ran.stderr);
    assert.match(ran.stderr, message);
  }
  assert.equal(existsSync(file('other')), false);
});
