import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { connect } from 'node:tls';
import { freePort, testCa } from '@countersign/testkit';
import { serveAcmeAlpn } from './acme-alpn-server.ts';

test('a certificate is shown for its name and protocol alone, and nobody is let in', {
  timeout: 30_000,
}, async (t) => {
  const { certificate, privateKey } = testCa().leaf({ names: [{ kind: 'dns', value: 'a.test' }] });
  const answers = [{ serverName: 'a.test', certificate: certificate.raw, privateKey }];
  const port = await freePort();
  const close = await serveAcmeAlpn({ answers, port, address: '127.0.0.1' });
  t.after(() => close());
  const dial = (servername: string, ALPNProtocols: string[]) =>
    connect({ host: '127.0.0.1', port, servername, ALPNProtocols, rejectUnauthorized: false });

  const asked = dial('A.test', ['acme-tls/1']);
  await once(asked, 'secureConnect');
  assert.equal(asked.alpnProtocol, 'acme-tls/1');
  assert.deepEqual(asked.getPeerX509Certificate()?.raw, Buffer.from(certificate.raw));
  asked.resume().write('hello');
  await once(asked, 'close');

  for (const [name, protocol] of [
    ['b.test', 'acme-tls/1'],
    ['a.test', 'http/1.1'],
  ] as const) {
    await assert.rejects(once(dial(name, [protocol]), 'secureConnect'), name);
  }
});
