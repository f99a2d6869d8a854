import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { CountersignError } from '@countersign/base';

/** Where a TLS server is, and the name that it is expected to answer for. */
export interface TlsAddress {
  readonly host: string;
  readonly port: number;
}

const timeoutMs = 10_000;

/** The address of an `https://` argument, or undefined where the text is none (a file, then). */
export function tlsAddressOf(text: string): TlsAddress | undefined {
  if (!/^https:\/\//i.test(text)) return undefined;
  if (!URL.canParse(text)) {
    throw new CountersignError('ERR_USAGE', `read address "${text}": it is not a URL`, {
      hint: 'write https://HOST or https://HOST:PORT',
    });
  }
  const url = new URL(text);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, port: url.port === '' ? 443 : Number(url.port) };
}

/**
 * Connects, and returns the DER of the chain that the server presented, leaf first, judged by nobody yet.
 *
 * @throws CountersignError ERR_CLI_UNREACHABLE, ERR_TIMEOUT (10 s)
 */
export function presentedChain(address: TlsAddress, attempted: string): Promise<Uint8Array[]> {
  const { host, port } = address;
  const where = `"${isIP(host) === 6 ? `[${host}]` : host}:${port}"`;
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      ...(isIP(host) === 0 && { servername: host }),
      // The chain is what is asked for: our own verifier judges it afterwards.
      rejectUnauthorized: false,
    });
    const finish = (act: () => void) => {
      socket.removeAllListeners();
      socket.on('error', () => {});
      socket.destroy();
      act();
    };
    const unreachable = (reason: string) =>
      finish(() =>
        reject(
          new CountersignError(
            'ERR_CLI_UNREACHABLE',
            `${attempted}: connect to ${where}: ${reason}`,
            { fields: { host, port } },
          ),
        ),
      );
    socket.setTimeout(timeoutMs, () =>
      finish(() =>
        reject(
          new CountersignError(
            'ERR_TIMEOUT',
            `${attempted}: connect to ${where}: no TLS answer within ${timeoutMs / 1000} s`,
          ),
        ),
      ),
    );
    socket.on('error', (error) => unreachable(error.message));
    socket.on('close', () => unreachable('closed before a certificate was presented'));
    socket.on('secureConnect', () => {
      const chain = chainOf(socket);
      if (chain.length === 0) unreachable('the server presented no certificate');
      else finish(() => resolve(chain));
    });
  });
}

function chainOf(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let next = socket.getPeerX509Certificate();
  while (next !== undefined && chain.length < 32) {
    chain.push(new Uint8Array(next.raw));
    next = next.issuerCertificate;
  }
  return chain;
}
