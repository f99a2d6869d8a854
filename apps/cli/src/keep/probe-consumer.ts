import { once } from 'node:events';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect, createSecureContext } from 'node:tls';
import { type Clock, CountersignError, messageOf } from '@countersign/base';
import type { NamedCertificate } from '@countersign/identity';
import { encodePem, encodePrivateKey, parseCertificate } from '@countersign/x509';
import type { Probe } from './kept-certificate.ts';

const firstPauseMs = 100;
const longestPauseMs = 2000;
const attemptMs = 5000;

/**
 * Connects as a client would until the consumer serves the certificate, or the entry's patience ends. Nothing is believed
 * of the connection but which certificate was shown in it.
 *
 * @throws CountersignError ERR_KEEP_UNPROVED
 */
export async function probeConsumer(
  probe: Probe,
  certificate: NamedCertificate,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const expected = certificate.chain[0].serialHex;
  const endsAt = clock.monotonic() + probe.withinMs;
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    const found = await servedSerial(probe, certificate).catch((thrown) => messageOf(thrown));
    if (found === expected) return;
    signal.throwIfAborted();
    const leftMs = endsAt - clock.monotonic();
    if (leftMs <= 0) throw unproved(probe, found, expected);
    await clock.sleep(Math.min(pauseMs, leftMs), { signal });
  }
}

function unproved(probe: Probe, found: string, expected: string): CountersignError {
  const shown = /^[0-9a-f]+$/.test(found) ? `it serves serial ${found}` : found;
  const where = `"${probe.host}:${probe.port}"`;
  return new CountersignError(
    'ERR_KEEP_UNPROVED',
    `probe ${where} for ${probe.withinMs} ms: ${shown}, expected serial ${expected}`,
    { fields: { found, expected } },
  );
}

/** The serial of the leaf that is shown in a handshake. */
async function servedSerial(
  { host, port, protocol, serverName }: Probe,
  { chain, privateKey }: NamedCertificate,
): Promise<string> {
  const raw = connectTcp({ host, port });
  const timeout = AbortSignal.timeout(attemptMs);
  const giveUp = () => raw.destroy(new Error(`no answer within ${attemptMs} ms`));
  timeout.addEventListener('abort', giveUp, { once: true });
  raw.on('error', () => {});
  try {
    await once(raw, 'connect');
    await beginTls[protocol](raw);
    const name = serverName ?? host;
    const socket = connect({
      socket: raw,
      // A server that wants a certificate is shown this one; others do not look.
      secureContext: createSecureContext({
        cert: chain.map((each) => encodePem('CERTIFICATE', each.raw)).join(''),
        key: encodePrivateKey(privateKey),
      }),
      servername: isIP(name) === 0 ? name : '',
      rejectUnauthorized: false,
    });
    socket.on('error', () => {});
    await once(socket, 'secureConnect');
    const shown = socket.getPeerX509Certificate();
    socket.destroy();
    if (shown === undefined) throw new Error('it shows no certificate');
    return parseCertificate(new Uint8Array(shown.raw)).serialHex;
  } finally {
    timeout.removeEventListener('abort', giveUp);
    raw.destroy();
  }
}

/** What is said in the clear before the handshake. */
const beginTls: Readonly<Record<Probe['protocol'], (socket: Socket) => Promise<void>>> = {
  async tls() {},
  async postgres(socket) {
    const request = Buffer.alloc(8);
    request.writeUInt32BE(8, 0);
    request.writeUInt32BE(80_877_103, 4);
    socket.write(request);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    if (answer.toString('latin1') !== 'S') throw new Error('PostgreSQL offers no TLS');
  },
  async mysql(socket) {
    const [greeting] = (await once(socket, 'data')) as [Buffer];
    if (greeting[4] !== 10) throw new Error('it is no MySQL or MariaDB');
    // Capabilities: TLS, protocol 4.1, its authentication.
    const request = Buffer.alloc(36);
    request.writeUIntLE(32, 0, 3);
    request[3] = 1;
    request.writeUInt32LE(0x8a00, 4);
    request.writeUInt32LE(1 << 24, 8);
    request[12] = 45;
    socket.write(request);
  },
  async smtp(socket) {
    await answered(socket, /^220 /m);
    socket.write('EHLO countersign\r\n');
    await answered(socket, /^250 /m);
    socket.write('STARTTLS\r\n');
    await answered(socket, /^220 /m);
  },
  async imap(socket) {
    await answered(socket, /^\* OK/m);
    socket.write('a STARTTLS\r\n');
    await answered(socket, /^a OK/m);
  },
};

async function answered(socket: Socket, wanted: RegExp): Promise<void> {
  let text = '';
  while (!wanted.test(text)) {
    if (text.length > 10_000 || /^[45]\d\d |^a (?:NO|BAD)/m.test(text)) {
      throw new Error(`it answers "${text.trim().slice(0, 100)}"`);
    }
    text += String((await once(socket, 'data'))[0]);
  }
}
