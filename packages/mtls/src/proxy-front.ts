import { createServer, type Server, type Socket } from 'node:net';
import { type Clock, CountersignError, type Log, messageOf } from '@countersign/base';
import {
  type ProxyHeader,
  parseProxyHeader,
  proxyBodyLength,
  proxyHeadBytes,
} from './proxy-header.ts';

export interface ProxyFrontOptions {
  readonly name: string;
  /** Whether the address is that of a proxy whose word counts; whoever else connects is refused. */
  readonly trusts: (address: string) => boolean;
  /** For the header. */
  readonly timeoutMs: number;
  /** Takes a connection whose header is read, with what the proxy said. */
  readonly onConnection: (raw: Socket, told: ProxyHeader | undefined) => void;
  readonly onRefused: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The TCP server before a listener that stands behind proxies: each connection begins with a PROXY header (version 2),
 * from those alone who are trusted to tell who the client is.
 */
export function createProxyFront(options: ProxyFrontOptions): Server {
  const { log, name } = options;
  return createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }, (raw) => {
    raw.on('error', (thrown) => log.debug({ listener: name, reason: messageOf(thrown) }, 'broke'));
    readHeader(options, raw).then(
      (told) => {
        if (!raw.destroyed) options.onConnection(raw, told);
      },
      (thrown) => {
        const from = raw.remoteAddress;
        const code = thrown instanceof CountersignError ? thrown.code : 'ERR_INTERNAL';
        log.warn({ listener: name, from, code }, `refused: ${messageOf(thrown)}`);
        options.onRefused();
        raw.destroy();
      },
    );
  });
}

async function readHeader(
  { trusts, timeoutMs, clock }: ProxyFrontOptions,
  raw: Socket,
): Promise<ProxyHeader | undefined> {
  const { remoteAddress = '' } = raw;
  if (!trusts(remoteAddress)) {
    const detail = `"${remoteAddress}" is no proxy that is trusted to tell of clients`;
    throw new CountersignError('ERR_TLS_PROXY_HEADER', detail);
  }
  const over = new AbortController();
  const late = clock.sleep(timeoutMs, { signal: over.signal, ref: false }).then(
    () => raw.destroy(),
    () => {},
  );
  try {
    const head = await take(raw, proxyHeadBytes);
    const body = await take(raw, proxyBodyLength(head));
    return parseProxyHeader(Buffer.concat([head, body]));
  } finally {
    over.abort();
    await late;
  }
}

/** Exactly so many octets: what follows belongs to the handshake. */
async function take(raw: Socket, length: number): Promise<Buffer> {
  if (length === 0) return Buffer.alloc(0);
  for (;;) {
    const bytes = raw.read(length) as Buffer | null;
    if (bytes !== null && bytes.byteLength === length) return bytes;
    if (bytes !== null || raw.destroyed || raw.readableEnded) throw endedEarly();
    await new Promise<void>((resolve) => {
      const go = (): void => {
        raw.off('readable', go).off('end', go).off('close', go);
        resolve();
      };
      raw.on('readable', go).on('end', go).on('close', go);
    });
  }
}

function endedEarly(): CountersignError {
  return new CountersignError('ERR_TLS_PROXY_HEADER', 'connection ended within its PROXY header');
}
