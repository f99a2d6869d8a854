import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';

/** Nothing but the wait itself keeps this process: no server, and a ledger whose lease never acknowledges. */
const program = `
  const { systemClock: clock } = await import('@countersign/base');
  const { memoryLedger } = await import('../ledger/memory-ledger.ts');
  const { Bell } = await import('./bell.ts');
  const { revokeAndWait } = await import('./revoke-and-wait.ts');
  const ledger = memoryLedger({ clock });
  const spiffeId = 'spiffe://example.com/edge';
  await ledger.holdLease({ instance: 'edge-1', spiffeId, maxSilenceMs: 30_000, position: 0, closed: 0 });
  const order = { by: 'spiffe-id', value: spiffeId, reason: 'unspecified', orderedBy: 'operator' };
  const answer = await revokeAndWait({ ledger, clock, leases: new Bell(), order, waitMs: 700 });
  console.log(JSON.stringify(answer));
`;

test('a process that does nothing else waits for the gateways and reports', async () => {
  const child = spawn(
    process.execPath,
    [...process.execArgv, '--input-type=module', '-e', program],
    { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'], timeout: 20_000 },
  );
  let out = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  const [code] = await once(child, 'close');
  assert.equal(code, 0);
  const { ok, acknowledgedBy, elapsedMs, gateways } = JSON.parse(out);
  assert.deepEqual([ok, acknowledgedBy, elapsedMs, gateways.length], [true, 0, 700, 1]);
});
