import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { MtlsMode } from '@countersign/authz';
import { parseIstioPolicies } from '@countersign/authz';
import { noLog } from '@countersign/base';
import { testClock } from '@countersign/testkit';
import { askSidecar, startControlServer } from './control-socket.ts';
import { readPortRecords, writePortRecords } from './port-record.ts';
import { modesOf, parseSidecarConfig } from './sidecar-config.ts';
import { SidecarPorts } from './sidecar-ports.ts';

const listener = 'inbound-8080';
const hour = 3_600_000;

test('a port is safe once nobody came in plaintext for as long as it was watched', async () => {
  const { ports, clock } = start('PERMISSIVE');
  await clock.advance(23 * hour);
  assert.equal(ports.report()[0]?.isSafe, false, 'not watched for long enough');
  await clock.advance(hour);
  assert.equal(ports.report()[0]?.isSafe, true);
  ports.seen(listener, { address: '10.0.0.5', peer: 'plaintext', isRefused: false });
  const [port] = ports.report();
  assert.equal(port?.isSafe, false);
  assert.deepEqual([port?.plaintext, port?.callers[0]?.address], [1, '10.0.0.5']);
});

test('a trial within its budget is kept, over a restart too, and one beyond it is rolled back', async (t) => {
  const directory = temporary(t);
  const { ports, clock, switches } = start('PERMISSIVE');
  ports.enforce(8080, { budget: 1, windowMs: hour });
  assert.equal(ports.modeOf(listener), 'STRICT');
  refuse(ports);
  assert.equal(ports.modeOf(listener), 'STRICT', 'within the budget');
  await writePortRecords(directory, ports.records());
  const again = start('PERMISSIVE', await readPortRecords(directory), clock);
  refuse(again.ports);
  assert.equal(again.ports.modeOf(listener), 'PERMISSIVE');
  assert.equal(again.ports.report()[0]?.enforcement?.state, 'rolled-back');
  await clock.advance(hour);
  refuse(ports);
  assert.equal(ports.modeOf(listener), 'STRICT', 'after the window nothing rolls back');
  assert.equal(ports.report()[0]?.enforcement?.state, 'kept');
  ports.undo(8080);
  assert.equal(ports.modeOf(listener), 'PERMISSIVE');
  assert.deepEqual([switches.count, again.switches.count], [2, 1]);
});

test('a trial of a port that is not PERMISSIVE, or not there, is refused', () => {
  const trial = { budget: 0, windowMs: hour };
  assert.throws(() => start('DISABLE').ports.enforce(8080, trial), /DISABLE by sidecar\.yaml/);
  assert.throws(() => start('PERMISSIVE').ports.enforce(80, trial), /no inbound port 80/);
});

test('callers are bounded, the oldest go first; a broken file ends the start and opens nothing', async (t) => {
  const { ports, clock } = start('PERMISSIVE');
  for (let i = 0; i < 1001; i += 1) {
    await clock.advance(1);
    ports.seen(listener, {
      address: `10.0.${i >> 8}.${i & 255}`,
      peer: 'plaintext',
      isRefused: false,
    });
  }
  const [port] = ports.report();
  assert.deepEqual([port?.callers.length, port?.forgotten], [1000, 1]);
  assert.ok(port?.callers.every(({ address }) => address !== '10.0.0.0'));
  const directory = temporary(t);
  assert.equal((await readPortRecords(directory)).size, 0);
  writeFileSync(join(directory, 'sidecar.json'), '{"version":1,"ports":');
  await assert.rejects(readPortRecords(directory), /read what was seen of ports/);
});

test('the control socket is its owner’s alone, and takes the place of nothing that is no socket', async (t) => {
  const data = temporary(t);
  const path = join(data, 'sidecar.sock');
  const { ports } = start('PERMISSIVE');
  const serve = () => startControlServer(data, ports, { log: noLog, saved: async () => {} });
  writeFileSync(path, 'kept');
  await assert.rejects(serve(), { code: 'ERR_LISTEN' });
  assert.equal(readFileSync(path, 'utf8'), 'kept');
  rmSync(path);
  const server = await serve();
  t.after(() => server.close());
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await assert.rejects(serve(), { code: 'ERR_LISTEN', message: /another process listens there/ });
  assert.equal((await askSidecar(data, { do: 'readiness', quietMs: 0 })).length, 1);
});

test('the nearest word about a port counts, from the mesh to the port', () => {
  const { written } = parseSidecarConfig(
    `sidecar: { namespace: prod, labels: { app: orders } }
mtls: DISABLE
inbound:
  - { port: 8080, listen: { port: 1 } }
  - { port: 9090, listen: { port: 2 }, mtls: PERMISSIVE }`,
    'sidecar.yaml',
  );
  const modes = (documents: string) =>
    [...modesOf(written, parseIstioPolicies(documents, 'p.yaml').peers).values()].map(
      ({ mode }) => mode,
    );
  const peer = (namespace: string, spec: string) => `---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: p, namespace: ${namespace} }
spec: ${spec}
`;
  assert.deepEqual(modes(''), ['DISABLE', 'PERMISSIVE']);
  const mesh = peer('istio-system', '{ mtls: { mode: STRICT } }');
  assert.deepEqual(modes(mesh), ['STRICT', 'STRICT']);
  const own = peer(
    'prod',
    '{ selector: { matchLabels: { app: orders } }, portLevelMtls: { 9090: { mode: DISABLE } } }',
  );
  assert.deepEqual(modes(mesh + own), ['STRICT', 'DISABLE']);
});

function refuse(ports: SidecarPorts): void {
  ports.seen(listener, { address: '10.0.0.6', peer: 'plaintext', isRefused: true });
}

function start(mode: MtlsMode, records = new Map(), clock = testClock()) {
  const switches = { count: 0 };
  const ports = new SidecarPorts({
    ...{ ports: [8080], modes: new Map([[listener, { mode, by: 'sidecar.yaml' }]]), records },
    ...{ clock, log: noLog },
    onSwitch: () => {
      switches.count += 1;
    },
  });
  return { ports, clock, switches };
}

function temporary(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'countersign-sidecar-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
