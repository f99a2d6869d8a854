import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { makeDirectory, proveReplaceable, proveWritable } from './destination.ts';

async function directoryFor(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'countersign-'));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

test('a directory is made with those that lead to it, and the first of them is told', async (t) => {
  const directory = await directoryFor(t);
  const deep = join(directory, 'a', 'b', 'c');
  assert.equal(await makeDirectory(deep), join(directory, 'a'));
  assert.equal(await makeDirectory(deep), undefined);
  await writeFile(join(directory, 'file'), '');
  await assert.rejects(makeDirectory(join(directory, 'file')), { code: 'EEXIST' });
  await assert.rejects(makeDirectory(join(directory, 'file', 'x')), { code: 'ENOTDIR' });
});

test('where no directory can be made, the attempt ends', async () => {
  await assert.rejects(makeDirectory('/proc/countersign/a/b'), { code: /^E/ });
});

test('what is proved writable is left as it was', async (t) => {
  const directory = await directoryFor(t);
  await proveWritable(directory, 'write');
  await proveReplaceable(join(directory, 'new.crl'), 'write');
  assert.deepEqual(await readdir(directory), []);
});

test('what cannot be written to is refused with what was attempted', async (t) => {
  const directory = await directoryFor(t);
  const code = 'ERR_DESTINATION';
  await assert.rejects(proveWritable(join(directory, 'x'), 'try'), { code, message: /^try: ENO/ });
  const refused = (path: string, message: RegExp) =>
    assert.rejects(proveReplaceable(path, 'try'), { code, message });
  await refused(directory, /is a directory$/);
  await refused('/dev/null', /is something else than a file$/);
  await refused(join(directory, 'absent', 'x'), /ENOENT/);
  await refused(`${join(directory, 'x')}/`, /names a directory$/);
});
