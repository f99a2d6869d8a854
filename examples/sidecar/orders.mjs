// Plain HTTP, for this machine alone. Who calls, its sidecar has verified.
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  const caller = /URI=([^;,"]+)/.exec(request.headers['x-forwarded-client-cert'] ?? '')?.[1];
  response.end(JSON.stringify({ orders: [7, 8], caller }));
});
server.listen(0, '127.0.0.1', () => console.log(`ready ${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
