import assert from 'node:assert/strict';
import { mkdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { builtCommand, traceOf } from '../bin/built-command.js';
import { temporaryDirectory } from './countersign.ts';

test('a build runs while the files that it was made of are the very ones', async (t) => {
  const { app, entry } = await repository(t);
  assert.equal(builtCommand(app), entry);
});

for (const { what, change } of [
  { what: 'written to', change: (file: string) => writeFile(file, 'b') },
  {
    what: 'written to, with its time set back',
    change: async (file: string) => {
      await writeFile(file, 'b');
      await utimes(file, 0, 0);
    },
  },
  {
    what: 'replaced by another of its size',
    change: async (file: string) => {
      await writeFile(`${file}.new`, 'c');
      await rename(`${file}.new`, file);
    },
  },
  { what: 'gone', change: (file: string) => rm(file) },
]) {
  test(`a build does not run once a file that it was made of is ${what}`, async (t) => {
    const { app, file } = await repository(t);
    await change(file);
    assert.equal(builtCommand(app), undefined);
  });
}

test('the record of another build vouches for none', async (t) => {
  const { app } = await repository(t);
  await writeFile(join(app, 'dist', 'build.json'), JSON.stringify({ directory: 'other' }));
  await mkdir(join(app, 'dist', 'other'));
  await writeFile(join(app, 'dist', 'other', 'main.js'), '');
  assert.equal(builtCommand(app), undefined);
});

test('installed, without sources, the build is what there is', async (t) => {
  const { app, entry } = await repository(t);
  await rm(join(app, 'src'), { recursive: true });
  await rm(join(app, 'dist', 'inputs.json'));
  assert.equal(builtCommand(app), entry);
});

async function repository(t: TestContext) {
  const root = await temporaryDirectory(t);
  const app = join(root, 'apps', 'cli');
  const build = join(app, 'dist', 'abc');
  await mkdir(build, { recursive: true });
  await mkdir(join(app, 'src'));
  const entry = join(build, 'main.js');
  const file = join(app, 'src', 'verb.ts');
  for (const path of [entry, file, join(app, 'src', 'main.ts')]) await writeFile(path, 'a');
  const files = [['apps/cli/src/verb.ts', ...traceOf(file)]];
  await writeFile(join(app, 'dist', 'inputs.json'), JSON.stringify({ directory: 'abc', files }));
  await writeFile(join(app, 'dist', 'build.json'), JSON.stringify({ directory: 'abc' }));
  await clockMoved(file);
  return { app, file, entry };
}

/** A file system's clock may stand for some milliseconds; a build is in force only well after its files. */
async function clockMoved(file: string): Promise<void> {
  const probe = `${file}.probe`;
  do await writeFile(probe, '');
  while (traceOf(probe)[2] <= traceOf(file)[2]);
}
