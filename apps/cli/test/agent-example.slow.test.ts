import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';

const script = join(import.meta.dirname, '..', '..', '..', 'examples', 'agent', 'run.sh');
const skip = process.platform === 'linux' ? false : 'the agent runs on Linux alone';

test('examples/agent says where the agent is, then that it is ready, and ends whole', {
  skip,
}, async (t) => {
  const child = spawn('bash', [script, '10s'], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => child.kill('SIGTERM'));
  let said = '';
  child.stderr.on('data', (chunk) => {
    said += chunk;
  });
  const exited = once(child, 'exit');
  const values = new Map<string, string>();
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('ready ')) break;
    const [, name = '', value = ''] = /^([A-Z_]+)=(.+)$/.exec(line) ?? assert.fail(line);
    values.set(name, value);
  }
  const socket = values.get('SDS_SOCK') ?? assert.fail(said);
  assert.equal(values.get('SPIFFE_ENDPOINT_SOCKET'), `unix://${socket}`);
  assert.match(values.get('CA_URL') ?? '', /^https:\/\/127\.0\.0\.1:\d+$/);
  assert.ok(existsSync(socket), said);
  child.kill('SIGTERM');
  const [code] = await exited;
  assert.equal(code, 0, said);
  assert.equal(existsSync(socket), false);
});
