import { once } from 'node:events';
import type { TestContext } from 'node:test';
import tls from 'node:tls';
import type { TestCredential } from '@countersign/testkit';
import { tlsOf } from './gateway-world.suite.ts';

/** HTTP/2 as a stranger writes it, frame by frame (RFC 9113 §4.1). */
export const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
export const flagsOf = { endStream: 1, endHeaders: 4 } as const;
export const noBytes = Buffer.alloc(0);

const frameTypes = {
  ...{ data: 0, headers: 1, priority: 2, reset: 3, settings: 4, ping: 6, goaway: 7 },
  continuation: 9,
};

export function frame(
  type: keyof typeof frameTypes,
  flags: number,
  stream: number,
  payload: Uint8Array,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head[3] = frameTypes[type];
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** One field without indexing and Huffman coding (RFC 7541 §6.2.2); name and value of less than 255 octets. */
export function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0]), textOf(name), textOf(value)]);
}

function textOf(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const { length } = bytes;
  return Buffer.concat([Buffer.from(length < 127 ? [length] : [127, length - 127]), bytes]);
}

/** A connection on which HTTP/2 was begun, and nothing asked yet. */
export async function beginHttp2(t: TestContext, port: number, who: TestCredential) {
  const socket = tls.connect({ port, host: '127.0.0.1', ALPNProtocols: ['h2'], ...tlsOf(who) });
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  const ended = new Promise((resolve) => socket.once('end', resolve).once('close', resolve));
  await once(socket, 'secureConnect');
  socket.write(preface);
  socket.write(frame('settings', 0, 0, noBytes));
  return { socket, ended };
}
