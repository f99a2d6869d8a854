import { chmod, lstat, rm } from 'node:fs/promises';
import { connect, createServer, type Server as NetServer, type Socket } from 'node:net';
import { dirname } from 'node:path';
import {
  type Clock,
  CountersignError,
  type Gauge,
  type Log,
  type Meter,
  makeDirectory,
  messageOf,
} from '@countersign/base';
import type { GrpcMethod } from '../grpc/grpc-method.ts';
import { GrpcServer } from '../grpc/grpc-server.ts';
import type { Kernel } from '../peer/kernel.ts';
import { processOfSocket } from '../peer/peer-process.ts';

export interface LocalServerOptions {
  /** At most 107 bytes. Its directory is made (0755) where it is missing. */
  readonly path: string;
  readonly kernel: Kernel;
  /** Open connections; further ones are dropped, and of one user those above the half. Default 10,000. */
  readonly maxConnections?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}

const longestPath = 107;

/**
 * gRPC on a Unix socket that anybody on the machine may connect to. The connections are accepted here and handed to the
 * gRPC server one by one, each with the process behind it, which its calls know.
 */
export class LocalServer {
  readonly path: string;
  readonly #options: LocalServerOptions;
  readonly #grpc: GrpcServer;
  readonly #net: NetServer;
  readonly #sockets = new Set<Socket>();
  readonly #open: Gauge;
  readonly #ofUser = new Map<number, number>();
  readonly #mostOfUser: number;

  constructor(options: LocalServerOptions) {
    this.path = options.path;
    this.#options = options;
    this.#open = options.meter.gauge({
      name: 'countersign_agent_connections',
      help: 'Open connections of workloads to the agent.',
    });
    this.#grpc = new GrpcServer(options);
    this.#net = createServer((socket) => this.#accept(socket));
    const { maxConnections = 10_000 } = options;
    this.#net.maxConnections = maxConnections;
    this.#mostOfUser = Math.max(1, Math.ceil(maxConnections / 2));
  }

  add(methods: readonly GrpcMethod[]): void {
    this.#grpc.add(methods);
  }

  /** @throws CountersignError ERR_AGENT_SOCKET */
  async listen(): Promise<void> {
    const { path } = this;
    try {
      if (Buffer.byteLength(path) > longestPath) {
        throw new Error(
          `it has ${Buffer.byteLength(path)} bytes, at most ${longestPath} are possible`,
        );
      }
      await makeDirectory(dirname(path), { mode: 0o755 });
      await makeWay(path);
      await new Promise<void>((listening, failed) => {
        this.#net.once('error', failed);
        this.#net.listen(path, () => {
          this.#net.off('error', failed);
          listening();
        });
      });
      // Who connects is asked of the kernel, so that everybody may.
      await chmod(path, 0o777);
    } catch (thrown) {
      throw new CountersignError('ERR_AGENT_SOCKET', `listen on "${path}": ${messageOf(thrown)}`, {
        fields: { path },
        cause: thrown,
      });
    }
    this.#net.on('error', (thrown) => this.#options.log.error({ err: thrown }, 'socket failed'));
  }

  /** Ends all calls and connections; what they ask within `drainMs` is answered still. */
  async close(drainMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#net.close(() => resolve()));
    await this.#grpc.close(drainMs);
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    await rm(this.path, { force: true });
  }

  #accept(socket: Socket): void {
    const { kernel, log } = this.#options;
    const found = processOfSocket(socket, kernel);
    if (!found.ok) {
      log.info({ code: found.code }, `connection dropped: ${found.detail}`);
      socket.destroy();
      return;
    }
    const { uid } = found.process;
    const open = this.#ofUser.get(uid) ?? 0;
    if (open >= this.#mostOfUser) {
      log.warn({ uid, open }, 'connection dropped: its user has as many as one may have');
      found.process.release();
      socket.destroy();
      return;
    }
    this.#ofUser.set(uid, open + 1);
    this.#sockets.add(socket);
    this.#open.set(this.#sockets.size);
    socket.on('error', (thrown) => log.debug({ reason: messageOf(thrown) }, 'connection broke'));
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#open.set(this.#sockets.size);
      const left = (this.#ofUser.get(uid) ?? 1) - 1;
      if (left === 0) this.#ofUser.delete(uid);
      else this.#ofUser.set(uid, left);
      found.process.release();
    });
    this.#grpc.serve(socket, found.process);
  }
}

/** A socket that nobody listens on is of a dead process. Anything else at the path is not ours to remove. */
async function makeWay(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw new Error('something else than a socket is there');
  if (await answers(path)) throw new Error('another process listens there');
  await rm(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}
