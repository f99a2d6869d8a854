import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { createServer } from 'node:tls';
import type { TestCredential } from '@countersign/testkit';

/** A foreign TLS server that presents a chain; returns its port on 127.0.0.1. */
export async function serveTls(t: TestContext, credential: TestCredential): Promise<number> {
  const server = createServer({ key: credential.keyPem, cert: credential.chainPem }, (socket) => {
    socket.on('error', () => {});
    socket.end();
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}
