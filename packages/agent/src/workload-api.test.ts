import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CountersignError } from '@countersign/base';
import { makeBundle, parseSvid } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { certificatesFromPem } from '@countersign/x509';
import { Metadata, status } from '@grpc/grpc-js';
import {
  type AgentWorld,
  agentWorld,
  endOf,
  entryFor,
  myService,
  nextMessage,
  nextSvids,
  openStream,
  outage,
  secondService as second,
  untilLine,
} from './agent-world.suite.ts';
import { openKernel } from './index.ts';
import { workloadMessages } from './serve/workload-messages.ts';

const heir = join(import.meta.dirname, '../test/heir-of-connection.ts');

describe('the Workload API', () => {
  let world: AgentWorld;
  before(async () => {
    world = await agentWorld([
      entryFor(myService, { hint: 'myservice' }),
      entryFor(second, { hint: 'myservice2', dns: ['two.internal'] }),
    ]);
  });
  after(() => world.close());

  it('gives a process its SVIDs in the order of the entries, with keys, hints and bundle', async () => {
    const stream = openStream(world.client(), 'fetchX509Svid');
    const { svids } = await nextSvids(stream);
    stream.cancel();
    assert.deepEqual(
      svids.map(({ spiffeId, hint }) => [spiffeId, hint]),
      [
        [myService, 'myservice'],
        [second, 'myservice2'],
      ],
    );
    for (const { spiffeId, x509Svid, x509SvidKey, bundle } of svids) {
      assert.equal(parseSvid(x509Svid, x509SvidKey).spiffeId.toString(), spiffeId);
      assert.deepEqual(Buffer.from(bundle), Buffer.from(world.authority.ca.root.raw));
    }
  });

  it('refuses a call without the security header, and one with another value', async () => {
    const other = new Metadata();
    other.set('workload.spiffe.io', 'True');
    for (const metadata of [new Metadata(), other]) {
      const ended = await endOf(openStream(world.client(), 'fetchX509Svid', metadata));
      assert.equal(ended.code, status.INVALID_ARGUMENT);
      assert.match(ended.details, /security header missing/);
    }
  });

  it('refuses the methods of the WIT-SVID profile as unimplemented', async () => {
    for (const name of ['fetchWitSvid', 'fetchWitBundles'] as const) {
      const ended = await endOf(openStream(world.client(), name));
      assert.equal(ended.code, status.UNIMPLEMENTED);
    }
  });

  it('pushes rotated SVIDs to open streams, three times, without a reset', async () => {
    const stream = openStream(world.client(), 'fetchX509Svid');
    const serials = new Set<string>();
    for (let rotation = 0; rotation <= 3; rotation += 1) {
      const { svids } = await nextSvids(stream);
      const [first] = svids;
      assert.ok(first);
      serials.add(parseSvid(first.x509Svid, first.x509SvidKey).serialHex);
      world.agent.renewAll();
    }
    stream.cancel();
    assert.equal(serials.size, 4);
  });

  it('streams bundles, also to clients that want no SVID', async () => {
    const stream = openStream(world.client(), 'fetchX509Bundles');
    const { bundles } = workloadMessages.x509BundlesResponse.decode(await nextMessage(stream));
    stream.cancel();
    assert.deepEqual(Object.keys(bundles), ['spiffe://example.org']);
  });

  it('lets one connection fetch and hang up more than a thousand times', async () => {
    const client = world.client();
    for (let i = 0; i < 1200; i += 1) {
      const stream = openStream(client, 'fetchX509Bundles');
      await nextMessage(stream);
      stream.cancel();
    }
  });

  it('lets everybody connect, since who connects is asked of the kernel', () => {
    assert.equal(statSync(world.agent.socket).mode & 0o777, 0o777);
  });
});

describe('entries and streams', () => {
  it('a process that no entry matches is refused, and the operator told what was seen', async () => {
    const world = await agentWorld([
      entryFor(myService, { selectors: ['unix:path:/usr/bin/other', 'unix:uid:4294967294'] }),
    ]);
    const ended = await endOf(openStream(world.client(), 'fetchX509Svid'));
    assert.equal(ended.code, status.PERMISSION_DENIED);
    assert.match(ended.details, /no identity issued/);
    const line = world.lines.find(({ message }) => message.startsWith('no identity issued'));
    assert.ok(line);
    assert.match(line.message, /unix:uid:\d+/);
    assert.match(line.message, new RegExp(`unix:path:${process.execPath}`));
    assert.match(line.message, /closest is the entry for "spiffe:\/\/example.org\/myservice"/);
    assert.match(line.message, /lacks unix:path:\/usr\/bin\/other, unix:uid:4294967294/);
    await world.close();
  });

  it('an entry that is made or deleted reaches the open stream', async () => {
    const world = await agentWorld([entryFor(myService)]);
    const stream = openStream(world.client(), 'fetchX509Svid');
    const one = await nextSvids(stream);
    world.agent.setEntries([entryFor(myService), entryFor(second)]);
    const two = await nextSvids(stream);
    assert.deepEqual([one.svids.length, two.svids.length], [1, 2]);
    assert.deepEqual(one.svids[0]?.x509Svid, two.svids[0]?.x509Svid);
    const ended = endOf(stream);
    world.agent.setEntries([]);
    assert.equal((await ended).code, status.PERMISSION_DENIED);
    await world.close();
  });

  it('entries of the authority reach the open stream, beside those of the file', async () => {
    const world = await agentWorld([entryFor(myService)]);
    const stream = openStream(world.client(), 'fetchX509Svid');
    await nextSvids(stream);
    const { selectors } = entryFor(second);
    const facts = { agent: 'spiffe://example.org/agent', hint: '', dns: [], federatesWith: [] };
    const odd = { ...facts, id: 'b'.repeat(24), spiffeId: second, selectors: ['moon:phase:full'] };
    const good = { ...facts, id: 'a'.repeat(24), spiffeId: second, selectors };
    world.authority.registered = [odd, good];
    world.authority.tell();
    const { svids } = await nextSvids(stream);
    assert.deepEqual(
      svids.map(({ spiffeId }) => spiffeId),
      [myService, second],
    );
    assert.ok(world.lines.some(({ message }) => message.includes('"moon:phase:full"')));
    world.authority.registered = [];
    world.authority.tell();
    assert.equal((await nextSvids(stream)).svids.length, 1);
    stream.cancel();
    await world.close();
  });

  it('a new root of the authority reaches the open stream', async () => {
    const world = await agentWorld([entryFor(myService)]);
    const stream = openStream(world.client(), 'fetchX509Bundles');
    await nextMessage(stream);
    const { ca } = world.authority;
    world.authority.bundleOf = makeBundle('example.org', [ca.root, testCa().root]);
    world.authority.tell();
    const { bundles } = workloadMessages.x509BundlesResponse.decode(await nextMessage(stream));
    stream.cancel();
    assert.ok((bundles['spiffe://example.org']?.length ?? 0) > ca.root.raw.length);
    await world.close();
  });

  it('workloads of an evicted agent lose their streams at once, until it is taken again', async () => {
    const world = await agentWorld([entryFor(myService)]);
    const stream = openStream(world.client(), 'fetchX509Svid');
    await nextSvids(stream);
    const ended = endOf(stream);
    world.authority.outage = new CountersignError('ERR_API_CERTIFICATE_REVOKED', 'revoked');
    world.authority.tell();
    assert.equal((await ended).code, status.PERMISSION_DENIED);
    const again = await endOf(openStream(world.client(), 'fetchX509Svid'));
    assert.equal(again.code, status.PERMISSION_DENIED);
    world.authority.outage = undefined;
    await untilLine(world, 'the authority takes the agent again');
    const third = openStream(world.client(), 'fetchX509Svid');
    assert.equal((await nextSvids(third)).svids.length, 1);
    third.cancel();
    await world.close();
  });

  it('what was issued serves on while the authority is away', async () => {
    const world = await agentWorld([entryFor(myService)]);
    await world.agent.settled;
    world.authority.outage = outage();
    world.agent.renewAll();
    await untilLine(world, 'SVID not issued');
    const stream = openStream(world.client(), 'fetchX509Svid');
    assert.equal((await nextSvids(stream)).svids.length, 1);
    stream.cancel();
    await world.close();
  });

  it('an authority that is busy is asked again when it says', async () => {
    const world = await agentWorld([entryFor(myService)]);
    await world.agent.settled;
    const fields = { retryAfterMs: 700_000 };
    world.authority.outage = new CountersignError('ERR_API_BUSY', 'busy', { fields });
    world.agent.renewAll();
    await untilLine(world, 'SVID not issued');
    const line = world.lines.find(({ code }) => code === 'ERR_API_BUSY');
    assert.ok(Number(line?.waitMs) >= 700_000 && Number(line?.waitMs) <= 770_000);
    await world.close();
  });

  it('where the authority refuses the only entry, the client is told to come again', async () => {
    const world = await agentWorld([entryFor(myService)]);
    world.authority.refuse = () => new CountersignError('ERR_POLICY_RULE', 'rule denies');
    world.agent.setEntries([entryFor(second)]);
    const ended = await endOf(openStream(world.client(), 'fetchX509Svid'));
    assert.equal(ended.code, status.UNAVAILABLE);
    await world.close();
  });

  it('an answer for another name, or by another root, is not put to use', async () => {
    const world = await agentWorld([]);
    world.authority.mistake = second;
    world.agent.setEntries([entryFor(myService)]);
    await untilLine(world, 'SVID not issued');
    const line = world.lines.find(({ code }) => code === 'ERR_AGENT_ISSUED');
    assert.match(
      String(line?.message),
      /the certificate is for "spiffe:\/\/example.org\/myservice2"/,
    );
    await world.close();
  });

  it('a connection outlives the process that made it, the identity does not', async () => {
    const world = await agentWorld([entryFor(myService)]);
    await world.agent.settled;
    const child = spawn(process.execPath, [heir, world.agent.socket], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = await once(child.stdout, 'data', { signal: AbortSignal.timeout(30_000) });
    assert.equal(String(said).trim(), `grpc-status ${status.PERMISSION_DENIED}`);
    await world.close();
  });

  it('a stream whose process has ended gets no rotated key, whoever reads it', async () => {
    const kernel = await openKernel();
    let isOver = false;
    const world = await agentWorld([entryFor(myService)], undefined, {
      kernel: { ...kernel, hasEnded: (handle) => isOver || kernel.hasEnded(handle) },
    });
    const stream = openStream(world.client(), 'fetchX509Svid');
    await nextSvids(stream);
    const ended = endOf(stream);
    isOver = true;
    world.agent.renewAll();
    assert.equal((await ended).code, status.PERMISSION_DENIED);
    await world.close();
  });

  it('one user cannot take all connections from the others', async () => {
    const world = await agentWorld([entryFor(myService)], undefined, { maxConnections: 4 });
    const sockets = Array.from({ length: 3 }, () => connect(world.agent.socket));
    const ends = sockets.map((socket) => once(socket.resume(), 'close').then(() => socket));
    await Promise.race(ends);
    await untilLine(world, 'connection dropped: its user has as many');
    assert.equal(sockets.filter(({ destroyed }) => !destroyed).length, 2);
    for (const socket of sockets) socket.destroy();
    await Promise.all(ends);
    await world.close();
  });

  it('an agent that stops tells its streams to come again', async () => {
    const world = await agentWorld([entryFor(myService)]);
    const stream = openStream(world.client(), 'fetchX509Svid');
    await nextSvids(stream);
    const ended = endOf(stream);
    await world.close();
    assert.equal((await ended).code, status.UNAVAILABLE);
  });

  it('no key of a workload is in any log line, and the socket is gone after the end', async () => {
    const world = await agentWorld([entryFor(myService)]);
    const stream = openStream(world.client(), 'fetchX509Svid');
    const { svids } = await nextSvids(stream);
    stream.cancel();
    const key = Buffer.from(svids[0]?.x509SvidKey ?? []).toString('base64');
    assert.ok(key.length > 100 && !JSON.stringify(world.lines).includes(key.slice(60)));
    assert.deepEqual(certificatesFromPem(world.authority.ca.rootPem).length, 1);
    await world.close();
    assert.equal(existsSync(world.agent.socket), false);
  });
});
