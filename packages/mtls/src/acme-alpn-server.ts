import type { KeyObject } from 'node:crypto';
import { createSecureContext, createServer } from 'node:tls';
import { encodePem, encodePrivateKey } from '@countersign/x509';

/** What is shown to who asks for a server name. */
export interface AlpnAnswer {
  readonly serverName: string;
  /** DER, signed by its own key. */
  readonly certificate: Uint8Array;
  readonly privateKey: KeyObject;
}

export interface AcmeAlpnOptions {
  readonly answers: readonly AlpnAnswer[];
  readonly port: number;
  /** All of the machine's unless given. */
  readonly address?: string | undefined;
}

/** RFC 8737 §6.2. */
const protocol = 'acme-tls/1';

/**
 * Shows certificates to who validates names for an ACME authority (RFC 8737), and serves nothing: each connection ends with its
 * handshake, so that nobody is ever let in here.
 *
 * @returns the function that closes it
 */
export async function serveAcmeAlpn(options: AcmeAlpnOptions): Promise<() => Promise<void>> {
  const contexts = new Map(
    options.answers.map(({ serverName, certificate, privateKey }) => [
      serverName.toLowerCase(),
      createSecureContext({
        cert: encodePem('CERTIFICATE', certificate),
        key: encodePrivateKey(privateKey),
      }),
    ]),
  );
  const server = createServer({
    ALPNProtocols: [protocol],
    minVersion: 'TLSv1.2',
    handshakeTimeout: 10_000,
    SNICallback(name, done) {
      const context = contexts.get(name.toLowerCase());
      if (context === undefined) done(new Error('no such name'));
      else done(null, context);
    },
  });
  server.maxConnections = 100;
  server.on('secureConnection', (socket) => {
    socket.on('error', () => {});
    socket.end();
    socket.setTimeout(10_000, () => socket.destroy());
  });
  server.on('tlsClientError', (_, socket) => socket.destroy());
  const open = new Set<{ destroy(): void }>();
  server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.address, resolve);
  });
  return async function close() {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of open) socket.destroy();
    await closed;
  };
}
