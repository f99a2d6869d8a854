import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { adminClient } from './admin-client.ts';
import { listenOnAdminSocket } from './admin-socket.ts';

const directory = mkdtempSync(join(tmpdir(), 'countersign-socket-'));
after(() => rmSync(directory, { recursive: true }));

describe('admin socket', () => {
  const server = () =>
    createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/x-pem-file' });
      response.end('answered');
    });

  it('makes way of what a killed process left there', async () => {
    const dataDir = join(directory, 'left');
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, 'admin.sock'), '');
    assert.equal(await adminClient(dataDir), undefined);
    const listening = server();
    const { path, remove } = await listenOnAdminSocket(listening, dataDir);
    assert.equal(path, join(dataDir, 'admin.sock'));
    const client = await adminClient(dataDir);
    assert.equal(await client?.bundlePem(), 'answered');
    await remove();
    listening.close();
    assert.equal(await adminClient(dataDir), undefined);
  });

  it('stands elsewhere, in a directory of its owner alone, where the path would be too long', async () => {
    const dataDir = join(directory, 'd'.repeat(90), 'state');
    mkdirSync(dataDir, { recursive: true });
    const listening = server();
    const { path, remove } = await listenOnAdminSocket(listening, dataDir);
    assert.ok(Buffer.byteLength(path) <= 103);
    assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const client = await adminClient(dataDir);
    assert.equal(await client?.bundlePem(), 'answered');
    await remove();
    listening.close();
    assert.ok(!existsSync(join(dataDir, 'admin.sock.path')));

    // Somebody made that directory open to others meanwhile.
    chmodSync(dirname(path), 0o777);
    const refused = server();
    await assert.rejects(listenOnAdminSocket(refused, dataDir), { code: 'ERR_API_SOCKET' });
    rmSync(dirname(path), { recursive: true });
  });
});
