import { createServer } from 'node:http';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { createMtlsListener, isAnonymous, type MtlsListenerOptions } from '@countersign/mtls';
import { staticBundles, staticSvid, type X509Svid } from '@countersign/spiffe';
import type { CertificateAuthority } from './certificate-authority.ts';

export interface TestServer {
  readonly url: string;
  readonly port: number;
  /** Serials of the clients of each request, in order. */
  readonly serials: string[];
  close(): Promise<void>;
}

/** A real HTTPS server of `ca` that requires client certificates and says who called. */
export async function mtlsServer(
  svid: X509Svid,
  ca: CertificateAuthority,
  options: { readonly holdMs?: number } = {},
): Promise<TestServer> {
  const serials: string[] = [];
  const peers = new WeakMap<object, string>();
  const front = createServer((request, response) => {
    const serial = peers.get(request.socket) ?? '';
    serials.push(serial);
    const answer = () => response.end(JSON.stringify({ serial }));
    if (request.url === '/slow') void systemClock.sleep(options.holdMs ?? 0).then(answer);
    else answer();
  });
  const onConnection: MtlsListenerOptions['onConnection'] = (socket, peer) => {
    if (!isAnonymous(peer)) peers.set(socket, peer.serialHex);
    front.emit('connection', socket);
  };
  const listener = createMtlsListener({
    name: 'test server',
    svids: staticSvid(svid),
    bundles: staticBundles(ca.bundle()),
    clientAuth: 'require',
    ...{ clock: systemClock, log: noLog, meter: noMeter, onConnection },
  });
  const { port } = await listener.listen(0, '127.0.0.1');
  return {
    ...{ url: `https://localhost:${port}`, port, serials },
    async close() {
      await listener.close(0);
      front.close();
    },
  };
}
