import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

export interface LossyProxy {
  readonly port: number;
  /**
   * What becomes of the next COMMIT that passes: it gets through and its answer is lost, or it is lost itself. Both end
   * the connection.
   */
  loseNext(what: 'answer' | 'request', then?: 'refuse'): void;
  /** After a loss that was to refuse everybody from then on. */
  admitAgain(): void;
  readonly lost: number;
  close(): Promise<void>;
}

/** Stands between a client and a PostgreSQL server, and loses exactly what it is told to. */
export async function lossyProxy(target: URL): Promise<LossyProxy> {
  let losing: 'answer' | 'request' | undefined;
  let refuseThen = false;
  let refusing = false;
  let lost = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    if (refusing) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(target.port), target.hostname);
    let deaf = false;
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    const lose = (): void => {
      end();
      if (refusing) for (const socket of [...sockets]) socket.destroy();
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', end);
      socket.on('close', () => {
        sockets.delete(socket);
        end();
      });
    }
    client.on('data', (chunk) => {
      if (losing === undefined || !chunk.includes('COMMIT\0')) {
        upstream.write(chunk);
        return;
      }
      const what = losing;
      losing = undefined;
      lost += 1;
      refusing = refuseThen;
      if (what === 'request') return lose();
      deaf = true;
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      if (!deaf) client.write(chunk);
      // The answer to COMMIT names it.
      else if (chunk.includes('COMMIT\0')) lose();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    loseNext(what, then) {
      losing = what;
      refuseThen = then === 'refuse';
    },
    admitAgain() {
      refusing = false;
    },
    get lost() {
      return lost;
    },
    async close() {
      for (const socket of [...sockets]) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
