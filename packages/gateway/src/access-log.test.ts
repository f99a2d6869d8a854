import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Fields, noLog } from '@countersign/base';
import { parseGatewayConfig } from './gateway-config.ts';
import {
  alice,
  clientOf,
  echo,
  idOf,
  mallory,
  startUpstream,
  startWorld,
} from './gateway-world.suite.ts';

test('a line of the access log says who asked for what, and why it was refused', async (t) => {
  const upstream = await startUpstream(t, echo);
  const yaml = `
listen: { port: 0 }
routes: [{ match: {}, upstream: { url: "${upstream.url}", spiffeId: ${idOf('orders')} } }]`;
  const config = parseGatewayConfig(yaml, 'gateway.yaml');
  const [listener] = config.model.listeners;
  const chains = [{ ...listener.chains[0], logsAccess: true }] as const;
  const lines: Fields[] = [];
  const { gateway } = await startWorld(t, upstream.url, {
    config: { ...config, model: { ...config.model, listeners: [{ ...listener, chains }] } },
    log: {
      ...noLog,
      info: (fields, message) => void (message === 'access' && lines.push(fields)),
    },
  });
  const path = '/orders/%C3%A9';
  assert.equal((await clientOf(t, gateway.url, alice).ask(path)).status, 200);
  const refused = await clientOf(t, gateway.url, alice).ask('/x', { method: 'DELETE' });
  assert.equal(refused.status, 403);
  assert.notEqual((await clientOf(t, gateway.url, mallory).ask('/x')).status, 200);
  const [passed, denied] = lines;
  assert.equal(passed?.path, path, 'as it was sent');
  assert.equal(passed?.peer, idOf('alice'));
  assert.equal(passed?.code, undefined);
  assert.equal(denied?.code, 'ERR_AUTHZ_DENIED');
  assert.match(String(denied?.reason), /never/);
  assert.ok(refused.body.includes(String(denied?.id)));
});
