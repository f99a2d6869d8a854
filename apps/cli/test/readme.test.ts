import assert from 'node:assert/strict';
import { cp, readFile, writeFile } from 'node:fs/promises';
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

test('the five minutes of the README go as they are written', async (t) => {
  const home = await temporaryDirectory(t);
  await cp(join(root, 'examples'), join(home, 'examples'), { recursive: true });
  const env = await shellEnvironment(home);
  // In the files too.
  const moved = await movedPorts(['8440', '8443', '9001']);
  const gatewayFile = join(home, 'examples', 'first', 'gateway.yaml');
  await writeFile(gatewayFile, moved(await readFile(gatewayFile, 'utf8')));

  const outputs: string[] = [];
  const blocks = await shellBlocks('README.md');
  assert.ok(blocks.length >= 7, 'the README has its blocks');
  for (const { kind, script } of blocks) {
    if (kind === 'serve') await serveBlock(t, moved(script), home, env);
    else outputs.push(await runBlock(moved(script), home, env));
  }
  const [made, identities, calls, revoked] = outputs;
  assert.match(made ?? '', /^ok .*ca\.yaml[\s\S]*\n[0-9a-f]{64}\n$/);
  assert.match(identities ?? '', /ok shop\/chain\.pem/);
  assert.match(calls ?? '', /orders, called by .*URI=spiffe:\/\/example\.com\/shop/);
  assert.match(calls ?? '', /"status":401/);
  assert.match(revoked ?? '', /1 gateway/);
  assert.match(revoked ?? '', /ERR_PEER_REVOKED/);

  const past = 'curl --silent --cacert shop/bundle.pem --cert shop/chain.pem --key shop/key.pem';
  const direct = await runBlock(moved(`${past} https://127.0.0.1:9001/orders\n`), home, env);
  assert.equal(direct, 'only for spiffe://example.com/gateway\n', 'past the gateway');
});
