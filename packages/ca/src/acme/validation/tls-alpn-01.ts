import { hash } from 'node:crypto';
import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import {
  type Certificate,
  formatIpAddress,
  parseCertificate,
  parseIpAddress,
} from '@countersign/x509';
import { NameFailure } from './names.ts';
import type { Claim, Found, Look } from './validators.ts';

/** RFC 8737 §3: id-pe-acmeIdentifier. */
const acmeIdentifier = '1.3.6.1.5.5.7.1.31';

/** RFC 8737 §3, RFC 8738 §6: a certificate that the host presents for the protocol `acme-tls/1` alone. */
export async function lookAtTls(claim: Claim, look: Look): Promise<Found> {
  const { value } = claim.identifier;
  let addresses: readonly string[];
  try {
    addresses = await look.names.addresses(value, look.guard);
  } catch (thrown) {
    if (!(thrown instanceof NameFailure)) throw thrown;
    return { type: 'dns', detail: thrown.message, again: thrown.again };
  }
  const port = look.config.tlsAlpnPort;
  let failure: unknown;
  for (const address of addresses) {
    try {
      const presented = await presentedAt(address, port, serverNameOf(value), look.signal);
      return judged(claim, presented);
    } catch (thrown) {
      if (look.signal.aborted) throw thrown;
      failure = thrown;
    }
  }
  const { code } = failure as { code?: string };
  const detail = `"${value}" at ${addresses.join(', ')}, port ${port}: ${code ?? 'no handshake'}`;
  return { type: code?.startsWith('ERR_SSL') === true ? 'tls' : 'connection', detail, again: true };
}

interface Presented {
  readonly protocol: string | false | null;
  readonly leaf: Uint8Array | undefined;
}

async function presentedAt(
  host: string,
  port: number,
  servername: string,
  signal: AbortSignal,
): Promise<Presented> {
  const socket = connect({
    host,
    port,
    servername,
    ALPNProtocols: ['acme-tls/1'],
    minVersion: 'TLSv1.2',
    // What proves it is what the certificate says, not who signed it.
    rejectUnauthorized: false,
  });
  const end = () => socket.destroy(signal.reason);
  signal.addEventListener('abort', end, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(signal.reason ?? new Error('closed')));
    });
    return { protocol: socket.alpnProtocol, leaf: leafOf(socket) };
  } finally {
    signal.removeEventListener('abort', end);
    socket.on('error', () => {});
    socket.destroy();
  }
}

function judged({ identifier, keyAuthorization }: Claim, { protocol, leaf }: Presented): Found {
  const { value } = identifier;
  const not = (detail: string): Found => ({
    type: 'unauthorized',
    detail: `"${value}" ${detail}`,
    again: true,
  });
  if (protocol !== 'acme-tls/1') return not('did not agree on the protocol "acme-tls/1"');
  const certificate = leaf === undefined ? undefined : readCertificate(leaf);
  if (certificate === undefined) return not('presented no certificate that can be read');
  // RFC 8737 §3: one name, and it alone
  const [name, ...more] = certificate.subjectAltNames;
  if (more.length > 0 || name === undefined || !isNamed(name, value)) {
    return not('presented a certificate that does not name it alone');
  }
  const extension = certificate.extensions.find((each) => each.oid === acmeIdentifier);
  if (extension === undefined) return not('presented a certificate without acmeIdentifier');
  if (!extension.critical)
    return not('presented a certificate whose acmeIdentifier is not critical');
  const wanted = hash('sha256', keyAuthorization, 'buffer');
  // an OCTET STRING of 32 octets
  const isRight = Buffer.concat([Buffer.of(0x04, 0x20), wanted]).equals(
    Buffer.from(extension.value),
  );
  return isRight ? undefined : not('presented an acmeIdentifier of another key authorization');
}

function isNamed(name: Certificate['subjectAltNames'][number], value: string): boolean {
  if (name.kind === 'dns') return name.value.toLowerCase() === value;
  return name.kind === 'ip' && formatIpAddress(name.bytes) === value;
}

/** RFC 8738 §6: an address is asked for by its name for reverse look-ups (RFC 1034 §5.2.1, RFC 3596 §2.5). */
function serverNameOf(value: string): string {
  const bytes = isIP(value) === 0 ? undefined : parseIpAddress(value);
  if (bytes === undefined) return value;
  if (bytes.byteLength === 4) return `${[...bytes].reverse().join('.')}.in-addr.arpa`;
  return `${[...Buffer.from(bytes).toString('hex')].reverse().join('.')}.ip6.arpa`;
}

function leafOf(socket: TLSSocket): Uint8Array | undefined {
  return socket.getPeerX509Certificate()?.raw;
}

function readCertificate(der: Uint8Array): Certificate | undefined {
  try {
    return parseCertificate(der);
  } catch {
    return undefined;
  }
}
