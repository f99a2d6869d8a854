import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '@countersign/base';
import { routerWorld } from '../router-world.suite.ts';
import { shop } from '../shop.suite.ts';

const program = join(homedir(), '.cache', 'countersign-foreign', 'bin', 'otel-collector');
const skip = existsSync(program) ? false : 'no otel-collector: see .ci/foreign-tools';

test("the OpenTelemetry collector's own receiver takes the spans, also once it comes up late", {
  skip,
}, async () => {
  const port = await freePort();
  const world = await routerWorld({
    sources: shop,
    yaml: `
listen: { port: 0, client_mtls: optional }
telemetry: { otlp: { endpoint: "http://127.0.0.1:${port}", interval: 50ms, timeout: 500ms } }`,
  });
  const deadline = performance.now() + 60_000;
  const isLate = () => assert.ok(performance.now() < deadline, 'nothing came in a minute');
  while (!world.lines.some(({ msg }) => msg === 'spans cannot be exported')) {
    await world.ask('query Early { me { name } }', { as: 'web' });
    isLate();
  }
  const collector = spawn(program, [String(port)], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  collector.stderr.on('data', (chunk) => {
    said += chunk;
  });
  try {
    while (!/Name +: query Late/.test(said)) {
      await world.ask('query Late { me { name reviews { of { title } } } }', { as: 'web' });
      await systemClock.sleep(20);
      isLate();
    }
    assert.match(said, /service\.name: Str\(countersign-router\)/);
    const id = (who: string) => `Str(spiffe://example.org/ns/default/sa/${who})`;
    for (const line of [
      `countersign.caller.spiffe_id: ${id('web')}`,
      `countersign.self.spiffe_id: ${id('router')}`,
    ]) {
      assert.ok(said.includes(line), line);
    }
    assert.match(
      said,
      /countersign\.peer\.spiffe_id: Str\(spiffe:\/\/example\.org\/ns\/default\/sa\//,
    );
    assert.match(said, /countersign\.peer\.serial: Str\([0-9a-f]+\)/);
    assert.match(said, /Kind +: Server/);
    assert.match(said, /Kind +: Client/);
    assert.ok(world.lines.some(({ msg }) => msg === 'spans are exported again'));
  } finally {
    const over = once(collector, 'exit');
    collector.kill('SIGKILL');
    if (collector.exitCode === null && collector.signalCode === null) await over;
    await world.close();
  }
});

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
