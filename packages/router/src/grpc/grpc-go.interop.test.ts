import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestCa } from '@countersign/testkit';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import { Agent, fetch } from 'undici';
import { routerWorld, serviceSvid } from '../router-world.suite.ts';
import type { TestSubgraph } from '../subgraph.suite.ts';

const program = join(homedir(), '.cache', 'countersign-foreign', 'bin', 'grpc-go-service');
const skip = existsSync(program) ? false : 'no grpc-go-service: see .ci/foreign-tools';

test('the test service of grpc-go, by its reflection: who calls, types, statuses, a stream, a rotation', {
  skip,
}, async () => {
  const world = await routerWorld({
    sources: [{ name: 'go', sdl: '', resolvers: {} }],
    impostors: { go: startService },
    entries: {
      go: 'grpc: { reflection: true, services: [grpc.testing.TestService], queries: [UnaryCall, EmptyCall] }',
    },
  });
  try {
    const { data, errors } = await world.ask(`{
      who: unaryCall(fillUsername: true) { username grpclbRouteType payload { body } }
      echo: unaryCall(responseType: COMPRESSABLE, responseSize: 3) { payload { type body } }
      emptyCall
    }`);
    assert.equal(errors, undefined);
    assert.deepEqual(data, {
      who: {
        username: 'spiffe://example.org/ns/default/sa/router',
        grpclbRouteType: 'GRPCLB_ROUTE_TYPE_UNKNOWN',
        payload: null,
      },
      echo: { payload: { type: 'COMPRESSABLE', body: 'AAAA' } },
      emptyCall: true,
    });

    const refused = await world.ask('{ unaryCall(fillOauthScope: true) { oauthScope } }');
    const { extensions } = refused.errors?.[0] ?? {};
    assert.equal(extensions?.status, 'FAILED_PRECONDITION');
    const line = world.lines.find(({ id }) => id === extensions?.id);
    assert.match(String(line?.msg), /no scopes here/);

    const large = await world.ask('{ unaryCall(responseSize: 3000000) { payload { body } } }');
    const answer = large.data?.unaryCall as { payload: { body: string } } | undefined;
    assert.equal(Buffer.from(answer?.payload.body ?? '', 'base64').length, 3_000_000);

    const sizes = '[{ size: 1 }, { size: 2, intervalUs: 1000 }, { size: 3 }]';
    const streamed = await events(
      world.router.url,
      `subscription { streamingOutputCall(responseParameters: ${sizes}) { payload { body } } }`,
    );
    const lengths = streamed.map((each) => Buffer.from(each, 'base64').length);
    assert.deepEqual(lengths, [1, 2, 3]);

    world.identity.rotate();
    const again = await world.ask('{ emptyCall }');
    assert.deepEqual(again.data, { emptyCall: true });
  } finally {
    await world.close();
  }
});

async function startService(ca: TestCa): Promise<TestSubgraph> {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-grpc-'));
  const { chain, privateKey } = serviceSvid(ca, 'go');
  const files = {
    'key.pem': encodePrivateKey(privateKey),
    'chain.pem': chain.map(({ raw }) => encodePem('CERTIFICATE', raw)).join(''),
    'bundle.pem': encodePem('CERTIFICATE', ca.root.raw),
  };
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(directory, name), text, { mode: 0o600 });
  }
  const child = spawn(program, [directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(String(said).trim());
  return {
    ...{ name: 'go', port, sdl: '', url: `grpcs://localhost:${port}`, requests: [] },
    async close() {
      const over = once(child, 'exit');
      child.kill('SIGKILL');
      await over;
      rmSync(directory, { recursive: true });
    },
  };
}

/** The bodies of a subscription's events, until it completes. */
async function events(origin: string, query: string): Promise<string[]> {
  const agent = new Agent();
  const response = await fetch(`${origin}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify({ query }),
    dispatcher: agent,
  });
  const text = await response.text();
  await agent.destroy();
  const found = text.matchAll(/^event: next\ndata: (.*)$/gm);
  return [...found].map(([, data = '']) => {
    const { data: answer } = JSON.parse(data);
    return answer.streamingOutputCall.payload.body as string;
  });
}
