import { readFileSync } from 'node:fs';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

// The service behind every proxy: it wants a certificate, and answers with a few bytes.
const directory = process.argv[2] ?? '.';
const read = (name: string) => readFileSync(join(directory, name));
const server = https.createServer(
  {
    ...{ cert: read('chain.pem'), key: read('key.pem'), ca: read('root.pem') },
    ...{ requestCert: true, rejectUnauthorized: true, keepAliveTimeout: 600_000 },
  },
  (_request, response) => response.end('{"ok":true}'),
);
server.maxRequestsPerSocket = 0;
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit(0));
