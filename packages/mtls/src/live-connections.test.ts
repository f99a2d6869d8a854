import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { TLSSocket } from 'node:tls';
import { denial, noLog, noMeter } from '@countersign/base';
import { testClock } from '@countersign/testkit';
import { anonymous, type HandshakeFacts } from './live-connection.ts';
import { LiveConnections } from './live-connections.ts';

const facts: HandshakeFacts = {
  name: 'test',
  direction: 'inbound',
  remoteAddress: '127.0.0.1',
  sourceAddress: '127.0.0.1',
  localAddress: '127.0.0.1',
  localPort: 2,
  remotePort: 1,
  protocol: 'TLSv1.3',
  resumed: false,
  serverNames: [],
};

test('a socket that closed before it was taken over is not kept', async () => {
  const clock = testClock();
  const connections = new LiveConnections({ name: 'test', clock, log: noLog, meter: noMeter });
  const socket = new TLSSocket(new Socket());
  socket.destroy();
  await once(socket, 'close');
  connections.add(socket, anonymous, facts);
  assert.equal(connections.count(), 0);
  await connections.empty();
});

test('a report counts what the re-ask itself closed, and nothing twice', async () => {
  const clock = testClock();
  const connections = new LiveConnections({ name: 'test', clock, log: noLog, meter: noMeter });
  const [left, stays] = [new TLSSocket(new Socket()), new TLSSocket(new Socket())];
  connections.add(left, anonymous, facts);
  connections.add(stays, anonymous, facts);
  left.destroy();
  const refuse = () => denial('ERR_PEER_REVOKED', 'test');
  const report = connections.reask(refuse);
  assert.deepEqual([report.closed, report.kept, report.codes], [1, 0, { ERR_PEER_REVOKED: 1 }]);
  assert.equal(connections.reask(refuse).closed, 0);
  assert.ok(stays.destroyed);
});
