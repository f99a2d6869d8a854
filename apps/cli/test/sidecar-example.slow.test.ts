import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';

const script = join(import.meta.dirname, '..', '..', '..', 'examples', 'sidecar', 'run.sh');

test('examples/sidecar leads the call of one plain program to another over mTLS, and ends whole', async (t) => {
  const child = spawn('bash', [script], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGTERM'));
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const exited = once(child, 'exit');
  let out = '';
  for await (const chunk of child.stdout) {
    out += String(chunk);
    if (/^ready$/m.test(out)) break;
  }
  const url = /^SHOP_URL=(\S+)$/m.exec(out)?.[1];
  const sidecar = /^ORDERS_SIDECAR=127\.0\.0\.1:(\d+)$/m.exec(out)?.[1];
  assert.ok(url !== undefined && sidecar !== undefined, out + said);
  const answer = await fetch(url);
  assert.deepEqual(await answer.json(), { orders: [7, 8], caller: 'spiffe://example.com/shop' });
  // Without the shop's sidecar nobody gets through.
  const plain = connect(Number(sidecar), '127.0.0.1');
  plain.on('error', () => {});
  plain.write('GET / HTTP/1.1\r\nhost: orders\r\n\r\n');
  let heard = '';
  plain.on('data', (chunk) => {
    heard += chunk;
  });
  await new Promise((resolve) => plain.once('close', resolve));
  assert.equal(heard, '');
  child.kill('SIGTERM');
  await exited;
});
