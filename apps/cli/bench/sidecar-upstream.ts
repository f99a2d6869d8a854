import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { identity, secureServer } from '@countersign/identity';

// The called program: plain, or with the identity of a directory. It says `ready PORT`.
const [directory] = process.argv.slice(2);
const app = createServer((_request, response) => response.end('{"ok":true}'));
app.keepAliveTimeout = 60_000;
if (directory === undefined) {
  app.listen(0, '127.0.0.1', () => ready((app.address() as AddressInfo).port));
} else {
  const me = await identity.open({ directory, renewal: 'others' });
  const server = secureServer(me, app, { allow: ['spiffe://example.com/**'] });
  ready((await server.listen(0, '127.0.0.1')).port);
}
process.on('SIGTERM', () => process.exit(0));

function ready(port: number): void {
  process.stdout.write(`ready ${port}\n`);
}
