import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { test } from 'node:test';
import { skipAgent, startAgentOfAuthority } from './agent-of-authority.ts';
import { id, lastLine } from './authority-files.ts';
import { countersign } from './countersign.ts';

test('an agent enrols by a token, and entries over the API give and take identities on an open stream', {
  skip: skipAgent,
}, async (t) => {
  const { file, run, state, agent } = await startAgentOfAuthority(t);
  assert.deepEqual(agent.urls, [`unix://${file('agent.sock')}`]);

  const create = ['entry', 'create', ...state, '--agent', id('agent'), '--spiffe-id', id('web')];
  const entry = await run(...create, '--selector', `unix:uid:${process.getuid?.()}`);
  const listed = JSON.parse(await run('entry', 'list', ...state, '-o', 'json'));
  assert.deepEqual(
    listed.map((each: { id: string }) => each.id),
    [entry],
  );
  assert.match(await run('entry', 'list', ...state), /web\n {2}by .*agent\n {2}for unix:uid:/);

  const stream = await openStream(file('agent.sock'), t);
  const [message] = await once(stream, 'data', { signal: AbortSignal.timeout(30_000) });
  assert.ok(Buffer.from(message).includes(id('web')));
  const deleted = statusOf(stream);
  await run('entry', 'delete', ...state, entry);
  assert.equal(await deleted, '7');

  const again = await countersign(['entry', 'delete', ...state, entry]);
  assert.equal(again.code, 1);
  assert.equal(lastLine(again.stderr), 'ERR_ENTRY_UNKNOWN');

  // The agent itself is revoked: nobody keeps an identity of it.
  await run(...create, '--selector', `unix:uid:${process.getuid?.()}`);
  const other = await openStream(file('agent.sock'), t);
  await once(other, 'data', { signal: AbortSignal.timeout(30_000) });
  const evicted = statusOf(other);
  await run('revoke', ...state, '--spiffe-id', id('agent'), '--wait', '0s');
  assert.equal(await evicted, '7');
  assert.equal((await agent.end()).code, 0);
});

/** What ends a call. */
async function statusOf(stream: ClientHttp2Stream): Promise<unknown> {
  stream.resume();
  const [trailers] = await once(stream, 'trailers', { signal: AbortSignal.timeout(30_000) });
  return trailers['grpc-status'];
}

/** A call of FetchX509SVID, once the entry has reached the agent. */
async function openStream(path: string, t: { after(work: () => void): void }) {
  const deadline = AbortSignal.timeout(30_000);
  for (;;) {
    deadline.throwIfAborted();
    const session = connectHttp2('http://localhost', { createConnection: () => connect(path) });
    t.after(() => session.destroy());
    const stream = session.request({
      ':method': 'POST',
      ':path': '/SpiffeWorkloadAPI/FetchX509SVID',
      'content-type': 'application/grpc',
      te: 'trailers',
      'workload.spiffe.io': 'true',
    });
    stream.end(Buffer.alloc(5));
    const [headers] = await once(stream, 'response', { signal: deadline });
    if (headers['grpc-status'] === undefined) return stream;
    session.close();
  }
}
