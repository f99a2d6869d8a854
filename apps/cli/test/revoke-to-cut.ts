import type { TLSSocket } from 'node:tls';
import { systemClock } from '@countersign/base';
import type { RotatingIdentity } from '@countersign/identity';
import type { RevokeResponse } from '@countersign/wire';
import { type Fleet, type FleetOptions, idOf } from './fleet.ts';

/** One round: half of the open connections belong to a peer that is then revoked. */
export interface Round {
  readonly answer: RevokeResponse;
  /** For each connection of the revoked peer: from asking for the revocation until its socket closed, ms. */
  readonly cutMs: readonly number[];
  /** Connections of the other peer that streamed on afterwards. */
  readonly unharmed: number;
  /** What the revoked peer got when it came back. */
  readonly comeback: string;
}

/** A stream through the gateway that counts what arrives. */
export interface OpenStream {
  readonly socket: TLSSocket;
  lines(): number;
  readonly closedAt: Promise<number>;
}

/** The upstream's part: a line every 20 ms, without end. */
export function endlessUpstream(): FleetOptions['upstream'] {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' });
    const timer = setInterval(() => response.write('tick\n'), 20);
    response.on('close', () => clearInterval(timer));
  };
}

export async function openStream(fleet: Fleet, identity: RotatingIdentity): Promise<OpenStream> {
  const { socket } = await fleet.dial(identity);
  let lines = 0;
  const closedAt = new Promise<number>((resolve) => {
    socket.on('close', () => resolve(systemClock.monotonic()));
  });
  socket.on('error', () => {});
  const streaming = new Promise<void>((resolve, reject) => {
    socket.on('data', (chunk: Buffer) => {
      lines += chunk.toString('latin1').split('tick\n').length - 1;
      if (lines > 0) resolve();
    });
    socket.on('close', () => reject(new Error('closed before it streamed')));
  });
  socket.write('GET /stream HTTP/1.1\r\nhost: gateway\r\n\r\n');
  await streaming;
  return { socket, lines: () => lines, closedAt };
}

/** Opens `connections` streams, half each by a guilty and an innocent peer; revokes the guilty one. */
export async function revokeOnce(fleet: Fleet, connections: number, name: string): Promise<Round> {
  const guilty = await fleet.workload(`${name}-guilty`, { isStatic: true });
  const innocent = await fleet.workload(`${name}-innocent`, { isStatic: true });
  const [cut, kept] = [await openMany(guilty), await openMany(innocent)];

  const began = systemClock.monotonic();
  const answer = await fleet.operator.revoke({
    ...{ by: 'spiffe-id', value: idOf(`${name}-guilty`), reason: 'keyCompromise' },
    ...{ block: false, dryRun: false, waitMs: 5000 },
  });
  const overdue = systemClock.sleep(10_000, { ref: false }).then(() => Number.POSITIVE_INFINITY);
  const cutMs = await Promise.all(
    cut.map(async ({ closedAt }) => (await Promise.race([closedAt, overdue])) - began),
  );

  const before = kept.map((stream) => stream.lines());
  await systemClock.sleep(200);
  const unharmed = kept.filter(
    (stream, i) => !stream.socket.destroyed && stream.lines() > (before[i] ?? 0),
  ).length;
  const comeback = await comeBack(guilty);
  for (const { socket } of kept) socket.destroy();
  return { answer, cutMs, unharmed, comeback };

  async function openMany(identity: RotatingIdentity): Promise<OpenStream[]> {
    const streams: OpenStream[] = [];
    for (let i = 0; i < connections / 2; i += 10) {
      const some = Math.min(10, connections / 2 - i);
      streams.push(
        ...(await Promise.all(Array.from({ length: some }, () => openStream(fleet, identity)))),
      );
    }
    return streams;
  }

  async function comeBack(identity: RotatingIdentity): Promise<string> {
    const { socket } = await fleet.dial(identity);
    socket.on('error', () => {});
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
    socket.write('GET / HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n');
    await Promise.race([closed, systemClock.sleep(5000)]);
    socket.destroy();
    return text;
  }
}
