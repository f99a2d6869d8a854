import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { type Clock, type Log, messageOf } from '@countersign/base';
import type { VaultEdge } from '../vault/vault-edge.ts';
import { shownBy } from './open-vault.ts';

/** As of a request that the HTTP parser reads. */
const mostHeadOctets = 16 * 1024;
const headTimeoutMs = 10_000;

interface ParserError extends Error {
  readonly code?: string;
  readonly rawPacket?: Buffer;
}

/**
 * Vault's clients list with a method of their own, `LIST`, which Node's parser takes for no HTTP. What it gives back
 * unread is answered here: one request, without a body, after which the connection ends. Everything else is refused as
 * Node refuses it.
 */
export function answerListRequests(
  web: Server,
  parts: { readonly edge: VaultEdge; readonly clock: Clock; readonly log: Log },
): void {
  web.on('clientError', (thrown: ParserError, socket: Duplex) => {
    const { code, rawPacket } = thrown;
    const begun =
      code === 'HPE_INVALID_METHOD' && rawPacket !== undefined ? beginningOf(rawPacket) : undefined;
    if (begun === undefined || !socket.writable) return refuse(socket, thrown);
    void answerList(parts, socket as TLSSocket, begun).catch((failed: unknown) => {
      parts.log.debug({ reason: messageOf(failed) }, 'list request broke');
      socket.destroy();
    });
  });
}

/** From the method on: an answered request may stand before it in the same packet. */
function beginningOf(packet: Buffer): Buffer | undefined {
  const at = packet.indexOf('LIST /');
  if (at === -1) return undefined;
  const isFirst = at === 0 || packet.subarray(0, at).toString('latin1').endsWith('\r\n\r\n');
  return isFirst ? packet.subarray(at) : undefined;
}

async function answerList(
  { edge, clock }: { readonly edge: VaultEdge; readonly clock: Clock },
  socket: TLSSocket,
  begun: Buffer,
): Promise<void> {
  const head = await wholeHead(socket, begun, clock);
  if (head === undefined) return void socket.destroy();
  const [line = '', ...lines] = head.split('\r\n');
  const url = /^LIST (\/[^\s]{0,4000}) HTTP\/1\.1$/.exec(line)?.[1];
  if (url === undefined || !edge.has(url)) return refuse(socket, undefined);
  const headers: Record<string, string> = {};
  for (const each of lines) {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(each);
    if (match === null) return refuse(socket, undefined);
    headers[(match[1] ?? '').toLowerCase()] ??= match[2] ?? '';
  }
  const {
    status,
    headers: own,
    body,
  } = await edge.answer({
    ...{ method: 'LIST', url, headers, from: socket.remoteAddress ?? '' },
    shown: () => shownBy(socket),
    body: async () => new Uint8Array(),
  });
  const written = Object.entries({
    ...own,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  });
  const answer = written.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.write(`HTTP/1.1 ${status} ${reasons[status] ?? 'Answer'}\r\n${answer}\r\n`);
  socket.end(body);
}

/** The head of the request without the empty line behind it; undefined where it does not come, or is too long. */
function wholeHead(socket: TLSSocket, begun: Buffer, clock: Clock): Promise<string | undefined> {
  return new Promise((resolve) => {
    let read = begun;
    const over = new AbortController();
    const end = (head: string | undefined) => {
      over.abort();
      socket.removeListener('data', more);
      resolve(head);
    };
    function look(): void {
      const at = read.indexOf('\r\n\r\n');
      if (at !== -1) end(read.subarray(0, at).toString('latin1'));
      else if (read.byteLength > mostHeadOctets) end(undefined);
    }
    function more(part: Buffer): void {
      read = Buffer.concat([read, part]);
      look();
    }
    // The parser has given up on this connection.
    socket.removeAllListeners('data');
    socket.on('data', more);
    socket.once('close', () => end(undefined));
    void clock.sleep(headTimeoutMs, { signal: over.signal, ref: false }).then(
      () => end(undefined),
      () => {},
    );
    look();
  });
}

const reasons: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  429: 'Too Many Requests',
  503: 'Service Unavailable',
};

const statuses: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

function refuse(socket: Duplex, thrown: ParserError | undefined): void {
  if (socket.writable && thrown?.code !== 'ECONNRESET') {
    const status = statuses[thrown?.code ?? ''] ?? '400 Bad Request';
    socket.write(`HTTP/1.1 ${status}\r\nconnection: close\r\n\r\n`);
  }
  socket.destroy(thrown);
}
