import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { TLSSocket } from 'node:tls';
import { systemClock } from '@countersign/base';
import type { NamedCertificate } from '@countersign/identity';
import { makeBundle } from '@countersign/spiffe';
import { testCa } from '@countersign/testkit';
import type { Probe } from './kept-certificate.ts';
import { probeConsumer } from './probe-consumer.ts';

const ca = testCa({ at: systemClock.now() });
const tools = { clock: systemClock, signal: new AbortController().signal };
const shown = ca.svid('spiffe://example.com/shown');

/** What each kind of server says in the clear, in answer to what. */
const greetings: Readonly<Record<string, readonly [says: string, to?: RegExp][]>> = {
  tls: [],
  smtp: [
    ['220 mail.example.com ESMTP\r\n'],
    ['250-mail.example.com\r\n250 STARTTLS\r\n', /^EHLO .+\r\n$/],
    ['220 go ahead\r\n', /^STARTTLS\r\n$/],
  ],
  imap: [['* OK ready\r\n'], ['a OK begin\r\n', /^a STARTTLS\r\n$/]],
};

for (const protocol of ['tls', 'smtp', 'imap'] as const) {
  describe(`a probe of a server that speaks ${protocol}`, () => {
    const server = createServer((socket) => void serve(socket, greetings[protocol] ?? []));
    let probe: Probe;
    before(async () => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as { port: number };
      probe = { host: '127.0.0.1', port, serverName: undefined, protocol, withinMs: 300 };
    });
    after(() => server.close());

    it('ends when it shows the certificate', () => probeConsumer(probe, held(shown), tools));

    it('says which other one it shows', async () => {
      const other = held(ca.svid('spiffe://example.com/other'));
      await assert.rejects(probeConsumer(probe, other, tools), {
        code: 'ERR_KEEP_UNPROVED',
        fields: { found: shown.certificate.serialHex, expected: other.chain[0].serialHex },
      });
    });
  });
}

async function serve(socket: Socket, greeting: (typeof greetings)[string]): Promise<void> {
  socket.on('error', () => {});
  for (const [says, to] of greeting) {
    if (to !== undefined) assert.match(String((await once(socket, 'data'))[0]), to);
    socket.write(says);
  }
  const { keyPem: key, chainPem: cert } = shown;
  new TLSSocket(socket, { isServer: true, key, cert }).on('error', () => {});
}

function held({ chain, privateKey }: typeof shown): NamedCertificate {
  const [leaf, ...rest] = chain;
  assert.ok(leaf !== undefined);
  return { chain: [leaf, ...rest], privateKey, bundle: makeBundle('example.com', [ca.root]) };
}
