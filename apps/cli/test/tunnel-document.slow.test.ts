import assert from 'node:assert/strict';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryDirectory } from './countersign.ts';
import {
  movedPorts,
  root,
  runBlock,
  serveBlock,
  shellBlocks,
  shellEnvironment,
} from './shell-blocks.ts';

test('the example of docs/tunnel.md goes as it is written', async (t) => {
  const home = await temporaryDirectory(t);
  await cp(join(root, 'examples', 'first'), join(home, 'examples', 'first'), { recursive: true });
  const env = await shellEnvironment(home);
  const moved = await movedPorts(['8440', '5432', '5433']);
  // The authority of the README, before its first identity.
  const [made, served] = await shellBlocks('README.md');
  await runBlock(made?.script ?? '', home, env);
  await serveBlock(t, moved(served?.script ?? ''), home, env);
  const outputs: string[] = [];
  for (const { kind, script } of await shellBlocks('docs/tunnel.md')) {
    if (kind === 'serve') await serveBlock(t, moved(script), home, env);
    else outputs.push(await runBlock(moved(script), home, env));
  }
  const [, last = ''] = outputs;
  assert.match(last, /^rows\n/);
  assert.match(last, /^closed .* gateway/m);
  assert.match(last, /the shop is cut\n$/);
});
