import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { TestContext } from 'node:test';
import { noLog, noMeter, systemClock } from '@countersign/base';
import type { Identity } from '@countersign/identity';
import { createMtlsListener, describePeer } from '@countersign/mtls';
import { staticBundles, type TrustBundle, type X509Svid } from '@countersign/spiffe';
import { countersign, startCountersign } from './countersign.ts';

/** What a command says that must go well. */
export async function run(...words: string[]): Promise<string> {
  const ran = await countersign(words);
  assert.equal(ran.code, 0, ran.stderr);
  return ran.stdout.trim();
}

/** An authority that publishes a changed bundle within seconds. */
export async function startAuthority(t: TestContext, place: string, yaml: string) {
  const config = `${place}.yaml`;
  await writeFile(config, `${yaml}api: { bundleRefresh: 5s }\n`);
  const state = ['--data', place];
  await run('init', '--config', config, ...state);
  const words = ['ca', 'serve', '--config', config, ...state, '--port', '0'];
  const server = await startCountersign(t, words, { timeoutMs: 240_000 });
  return { state, url: String(server.urls[0]) };
}

/** A server that answers `{ data: { partner: WHO ASKS } }`, on a connection of its own each time. */
export async function serveWho(t: TestContext, svid: X509Svid, bundle: TrustBundle) {
  const peers = new WeakMap<object, string>();
  let shown = svid;
  const front = createServer((request, response) => {
    request.resume();
    response.setHeader('content-type', 'application/json');
    response.setHeader('connection', 'close');
    response.end(JSON.stringify({ data: { partner: peers.get(request.socket) } }));
  });
  const listener = createMtlsListener({
    ...{ name: 'subgraph', clientAuth: 'require', bundles: staticBundles(bundle) },
    ...{ svids: { svid: () => shown }, clock: systemClock, log: noLog, meter: noMeter },
    onConnection(socket, peer) {
      peers.set(socket, String(describePeer(peer).peer));
      front.emit('connection', socket);
    },
  });
  const { port } = await listener.listen(0, '127.0.0.1');
  t.after(async () => {
    await listener.close(0);
    front.close();
  });
  return {
    port,
    serveBy(identity: Pick<Identity, 'svid'>) {
      shown = identity.svid;
      listener.reload();
    },
  };
}
