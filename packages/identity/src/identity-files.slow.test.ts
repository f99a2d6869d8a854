import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@countersign/base';
import { signingDouble } from './authority-double.suite.ts';
import { killWhileSwapping } from './kill-while-swapping.suite.ts';

test('killed at sixty moments of a swap, the files are always the old ones or the new ones', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'identity-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const double = signingDouble(systemClock);
  await killWhileSwapping(join(directory, 'payments'), [double.identity(), double.identity()], 60);
});
