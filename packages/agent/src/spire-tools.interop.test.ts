import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer as createHttp, get } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeBundle } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import { certificatesFromPem } from '@countersign/x509';
import { foreignTool } from '../test/foreign-tool.ts';
import {
  type AgentWorld,
  agentWorld,
  entryFor,
  myService,
  secondService,
} from './agent-world.suite.ts';

const spireAgent = foreignTool('bin/spire-agent');
const helper = foreignTool('bin/spiffe-helper');
const ghostunnel = foreignTool('bin/ghostunnel');
const federated = 'example-federated.org';

describe('spire-agent api', { skip: spireAgent.skip }, () => {
  it('fetches X.509-SVIDs, as text and as files', async (t) => {
    const { world, directory } = await worldOf(t);
    const socket = ['-socketPath', world.agent.socket];
    const said = await run(spireAgent.path, [...api('fetch', 'x509'), ...socket]);
    assert.match(said, /Received 2 svids/);
    for (const id of [myService, secondService]) assert.ok(said.includes(`SPIFFE ID:\t\t${id}`));
    assert.match(said, /Hint:\t\t\tmyservice2/);
    assert.ok(said.includes(`[spiffe://${federated}] CA #1 Valid Until`));
    await run(spireAgent.path, [...api('fetch', 'x509'), ...socket, '-write', directory]);
    const [leaf] = certificatesFromPem(readFileSync(join(directory, 'svid.0.pem'), 'utf8'));
    assert.ok(leaf !== undefined && leaf.raw.length > 0);
    for (const name of ['svid.0.key', 'bundle.0.pem', 'federated_bundle.0.0.pem', 'svid.1.pem']) {
      assert.match(readFileSync(join(directory, name), 'utf8'), /^-----BEGIN /);
    }
  });

  it('fetches JWT-SVIDs, and has them validated, for their audience alone', async (t) => {
    const { world } = await worldOf(t);
    const socket = ['-socketPath', world.agent.socket];
    const asked = [...api('fetch', 'jwt'), ...socket, '-audience', 'vault', '-output', 'json'];
    const [answer] = JSON.parse(await run(spireAgent.path, asked));
    assert.deepEqual(
      answer.svids.map(({ spiffe_id, hint }: Record<string, string>) => [spiffe_id, hint]),
      [
        [myService, 'myservice'],
        [secondService, 'myservice2'],
      ],
    );
    const one = await run(spireAgent.path, [...asked, '-spiffeID', secondService]);
    assert.equal(JSON.parse(one)[0].svids.length, 1);
    const token = answer.svids[0].svid;
    const judged = [...api('validate', 'jwt'), ...socket, '-svid', token, '-audience'];
    const valid = await run(spireAgent.path, [...judged, 'vault']);
    assert.match(valid, /SVID is valid/);
    assert.ok(valid.includes(myService));
    await assert.rejects(run(spireAgent.path, [...judged, 'other']), /not valid|InvalidArgument/);
  });

  it('watches through three rotations', async (t) => {
    const { world } = await worldOf(t);
    const watching = spawned(t, spireAgent.path, [
      ...api('watch'),
      ...['-socketPath', world.agent.socket],
    ]);
    for (let i = 1; i <= 4; i += 1) {
      await until(() => watching.said().split('Received 2 svids').length > i, watching.said);
      world.agent.renewAll();
    }
  });
});

describe('spiffe-helper', { skip: helper.skip }, () => {
  it('keeps files fresh through three rotations', async (t) => {
    const { world, directory } = await worldOf(t);
    const config = join(directory, 'helper.conf');
    await writeFile(
      config,
      `agent_address = "${world.agent.socket}"
cert_dir = "${directory}"
svid_file_name = "svid.pem"
svid_key_file_name = "key.pem"
svid_bundle_file_name = "bundle.pem"
jwt_bundle_file_name = "jwt.json"
jwt_svids = [{ jwt_audience = "vault", jwt_svid_file_name = "svid.token" }]
hint = "myservice2"
`,
    );
    const ran = spawned(t, helper.path, ['-config', config, '-daemon-mode=true']);
    const read = (name: string) => readFileSync(join(directory, name), 'utf8');
    const serials = new Set<string>();
    for (let i = 0; i < 4; i += 1) {
      await until(() => {
        const [leaf] = certificatesFromPem(read('svid.pem'));
        return leaf !== undefined && !serials.has(leaf.serialHex) && serials.add(leaf.serialHex);
      }, ran.said);
      world.agent.renewAll();
    }
    await until(() => read('svid.token').split('.').length === 3, ran.said);
    assert.ok(JSON.parse(read('jwt.json')) !== null);
    assert.match(read('bundle.pem'), /^-----BEGIN CERTIFICATE/);
  });
});

describe('ghostunnel --use-workload-api-addr', { skip: ghostunnel.skip }, () => {
  it('joins two sides over mTLS through three rotations without a failed request', async (t) => {
    const { world } = await worldOf(t);
    const address = ['--use-workload-api-addr', `unix://${world.agent.socket}`];
    const target = createHttp((_, response) => response.end('through'));
    await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
    t.after(() => target.close());
    const { port } = target.address() as { port: number };
    const [outer, inner] = [await freePort(), await freePort()];
    const server = spawned(t, ghostunnel.path, [
      ...['server', ...address, '--listen', `127.0.0.1:${outer}`],
      ...['--target', `127.0.0.1:${port}`, '--allow-uri', myService],
    ]);
    const client = spawned(t, ghostunnel.path, [
      ...['client', ...address, '--listen', `127.0.0.1:${inner}`],
      ...['--target', `127.0.0.1:${outer}`, '--verify-uri', myService],
    ]);
    const said = () => `${server.said()}\n${client.said()}`;
    const ask = () => text(inner);
    await until(async () => (await ask()) === 'through', said);
    for (let i = 0; i < 3; i += 1) {
      world.agent.renewAll();
      for (let n = 0; n < 40; n += 1) assert.equal(await ask(), 'through', said());
    }
    // Whom it is not told to let in stays outside.
    const strict = await freePort();
    spawned(t, ghostunnel.path, [
      ...['client', ...address, '--listen', `127.0.0.1:${strict}`],
      ...['--target', `127.0.0.1:${outer}`, '--verify-uri', 'spiffe://example.org/other'],
    ]);
    await until(
      () =>
        text(strict).then(
          () => false,
          ({ code }) => code !== 'ECONNREFUSED',
        ),
      said,
    );
  });
});

function api(...words: string[]): string[] {
  return ['api', ...words];
}

async function worldOf(
  t: TestContext,
): Promise<{ readonly world: AgentWorld; readonly directory: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-spire-'));
  const federatesWith = [federated];
  const world = await agentWorld([
    entryFor(myService, { hint: 'myservice', federatesWith }),
    entryFor(secondService, { hint: 'myservice2', federatesWith }),
  ]);
  world.agent.bundles.put(makeBundle(federated, [testCa().root]));
  await world.agent.settled;
  t.after(async () => {
    await world.close();
    rmSync(directory, { recursive: true, force: true });
  });
  return { world, directory };
}

async function run(command: string, words: readonly string[]): Promise<string> {
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const said = heard(child);
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(said());
  return said();
}

function spawned(t: TestContext, command: string, words: readonly string[]) {
  const child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return { said: heard(child) };
}

function heard(child: ChildProcess): () => string {
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (chunk) => {
      said += chunk;
    });
  }
  return () => said;
}

function text(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = get({ port, host: '127.0.0.1', agent: false, timeout: 10_000 }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        body += chunk;
      });
      response.once('end', () => resolve(body));
      response.once('error', reject);
    });
    asked.once('error', reject);
    asked.once('timeout', () => asked.destroy(new Error('no answer in time')));
  });
}

async function until(isSo: () => unknown, said: () => string): Promise<void> {
  const deadline = AbortSignal.timeout(60_000);
  while (!deadline.aborted) {
    const answer = await Promise.resolve()
      .then(isSo)
      .catch(() => false);
    if (answer !== false && answer !== undefined) return;
    await sleep(50);
  }
  throw new Error(`not so within a minute; ${said()}`);
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
