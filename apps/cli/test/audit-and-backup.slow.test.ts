import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { authorityYaml, id, lastLine } from './authority-files.ts';
import { countersign, startCountersign, temporaryDirectory } from './countersign.ts';

test('an authority that serves is audited and backed up; what is restored is sound, and what is changed is named', async (t) => {
  const directory = await temporaryDirectory(t);
  const file = (name: string) => join(directory, name);
  const state = file('state');
  const config = file('ca.yaml');
  await writeFile(config, authorityYaml());
  const made = await countersign(['init', '--config', config, '--data', state]);
  assert.equal(made.code, 0, made.stderr);
  const server = await startCountersign(t, [
    ...['ca', 'serve', '--config', config, '--data', state],
    ...['--port', '0', '--admin-port', '0'],
  ]);
  const issue = ['issue', '--data', state, '--spiffe-id', id('audited'), '--out'];
  assert.equal((await countersign([...issue, file('one')])).code, 0);
  const refused = ['issue', '--data', state, '--spiffe-id', 'spiffe://other.example/a'];
  assert.equal((await countersign([...refused, '--out', file('no')])).code, 1);

  // while it serves: over its admin socket
  const verified = await countersign(['audit', 'verify', '--data', state]);
  assert.equal(verified.code, 0, verified.stderr);
  const head = /newest row (\d+:[0-9a-f]{64})\n$/.exec(verified.stdout)?.[1] ?? '';
  const exported = await countersign(['audit', 'export', '--data', state]);
  const lines = exported.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.ok(
    lines.some(
      ({ what, by, spiffeId }) =>
        what === 'issue' && by === 'operator' && spiffeId === id('audited'),
    ),
  );
  assert.ok(lines.some(({ what, code }) => what === 'refused' && /^ERR_POLICY/.test(code)));
  assert.equal(lines.at(-1).seq, lines.length);
  const rest = await countersign(['audit', 'export', '--data', state, '--after', '2']);
  assert.equal(rest.stdout.trimEnd().split('\n').length, lines.length - 2);
  const backup = ['backup', '--data', state, '--out', file('copy'), '--with-key-files'];
  const copied = await countersign(backup);
  assert.equal(copied.code, 0, copied.stderr);
  assert.equal((await countersign(backup)).code, 2);
  await server.end();

  // from the backup
  const again = ['restore', '--from', file('copy'), '--data', file('again')];
  const restored = await countersign(again);
  assert.equal(restored.code, 0, restored.stderr);
  assert.match(restored.stdout, /^sound: \d+ ledger records, \d+ certificates, \d+ audit rows\n$/);
  // with another configuration, which is then the one that is kept
  await writeFile(file('next.yaml'), `${authorityYaml()}# after the restore\n`);
  const next = ['restore', '--from', file('copy'), '--data', file('next')];
  assert.equal((await countersign([...next, '--config', file('next.yaml')])).code, 0);
  assert.match(await readFile(join(file('next'), 'ca.yaml'), 'utf8'), /# after the restore\n$/);
  await writeFile(file('other.yaml'), authorityYaml().replace('services:', 'others:'));
  const other = ['restore', '--from', file('copy'), '--data', file('other')];
  const foreign = await countersign([...other, '--config', file('other.yaml')]);
  assert.deepEqual([foreign.code, lastLine(foreign.stderr)], [2, 'ERR_STATE_CONFIG']);
  assert.equal(existsSync(file('other')), false);
  const expected = ['audit', 'verify', '--data', file('again'), '--expect', head];
  assert.equal((await countersign(expected)).code, 0);
  const more = ['issue', '--data', file('again'), '--spiffe-id', id('b'), '--out', file('two')];
  const issued = await countersign(more);
  assert.equal(issued.code, 0, issued.stderr);

  // changed by somebody who can write to the file
  const database = new DatabaseSync(join(file('again'), 'ledger.db'));
  database.exec("UPDATE intents SET provisioner = 'nobody' WHERE position = 3");
  database.close();
  const found = await countersign(['audit', 'verify', '--data', file('again'), '-o', 'json']);
  assert.equal(found.code, 1);
  const verdict = JSON.parse(found.stdout);
  assert.equal(verdict.ok, false);
  assert.match(verdict.findings[0], /^ledger record 3 \(intent of "01[0-9a-f]+"\): changed/);

  const wrong = await countersign(['audit', 'verify', '--data', state, '--expect', 'nonsense']);
  assert.equal(wrong.code, 2);
  assert.equal(lastLine(wrong.stderr), 'ERR_USAGE');
  assert.equal(existsSync(file('no')), false);
});
