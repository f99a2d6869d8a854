import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

export interface TestDns {
  /** `127.0.0.1:<port>`. */
  readonly address: string;
  /** Texts of names, in lowercase; they may be changed. */
  readonly texts: Map<string, readonly string[]>;
  close(): Promise<void>;
}

/**
 * A resolver that knows every name below `test` to be on this machine, and the texts that it is given; by UDP and by TCP.
 *
 * @param port any free one unless given
 * @throws Error EADDRINUSE
 */
export async function startTestDns(port = 0, attempts = 20): Promise<TestDns> {
  const texts = new Map<string, readonly string[]>();
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => {
    const answer = answerTo(query, texts);
    if (answer !== undefined) socket.send(answer, from.port, from.address);
  });
  const bound = once(socket, 'listening');
  socket.bind(port, '127.0.0.1');
  await bound;
  const streams = createServer((stream) => answerStream(stream, texts));
  try {
    streams.listen(socket.address().port, '127.0.0.1');
    await once(streams, 'listening');
  } catch (thrown) {
    await new Promise<void>((resolve) => socket.close(() => resolve()));
    // Free for UDP says nothing of TCP, where each connection on this machine has a port too.
    if (port === 0 && attempts > 1) return await startTestDns(0, attempts - 1);
    throw thrown;
  }
  const close = async () => {
    streams.close();
    await new Promise<void>((resolve) => socket.close(() => resolve()));
  };
  return { address: `127.0.0.1:${socket.address().port}`, texts, close };
}

/** RFC 1035 §4.2.2: messages behind their length. One question a connection. */
function answerStream(stream: Socket, texts: TestDns['texts']): void {
  let asked = Buffer.alloc(0);
  stream.on('error', () => stream.destroy());
  stream.on('data', (chunk: Buffer) => {
    asked = Buffer.concat([asked, chunk]);
    if (asked.byteLength < 2 || asked.byteLength < 2 + asked.readUInt16BE(0)) return;
    const answer = answerTo(asked.subarray(2), texts) ?? Buffer.alloc(0);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(answer.byteLength);
    stream.end(Buffer.concat([length, answer]));
  });
}

const types = { a: 1, txt: 16 } as const;

/** RFC 1035 §4.1: one question, its answers by compression of the question's own name. */
function answerTo(query: Buffer, texts: TestDns['texts']): Buffer | undefined {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const end = at + 5;
  if (query.byteLength < end) return undefined;
  const name = labels.join('.').toLowerCase();
  const type = query.readUInt16BE(at + 1);
  const isKnown = labels.at(-1)?.toLowerCase() === 'test';
  const data: Buffer[] = [];
  if (isKnown && type === types.a) data.push(Buffer.of(127, 0, 0, 1));
  if (isKnown && type === types.txt) {
    for (const text of texts.get(name) ?? []) {
      data.push(Buffer.concat([Buffer.of(text.length), Buffer.from(text, 'latin1')]));
    }
  }
  const head = Buffer.from(query.subarray(0, 12));
  // a response, recursion available; no such name where it is not ours
  head.writeUInt16BE(0x8180 | (isKnown ? 0 : 3), 2);
  head.writeUInt16BE(data.length, 6);
  head.fill(0, 8, 12);
  const records = data.map((each) => {
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(type, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt16BE(each.byteLength, 10);
    return Buffer.concat([record, each]);
  });
  return Buffer.concat([head, query.subarray(12, end), ...records]);
}
