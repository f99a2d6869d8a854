import { once } from 'node:events';
import type { TLSSocket } from 'node:tls';
import { type Clock, CountersignError, type Log, messageOf, systemClock } from '@countersign/base';
import type { LiveSource } from '../live/live-source.ts';
import { warningLog } from '../live/warning-log.ts';
import { type DialRules, dialler } from './dialling.ts';

interface RedisCommand {
  readonly name: string;
}

interface RedisClient {
  readonly status: string;
  readonly mode: string;
  sendCommand(command: RedisCommand, stream?: unknown): unknown;
  ping(): Promise<unknown>;
  disconnect(reconnect?: boolean): void;
  once(event: string, listener: () => void): unknown;
  on(event: string, listener: () => void): unknown;
}

export interface RedisRules extends DialRules {
  readonly log?: Log;
  readonly clock?: Clock;
}

export interface RedisPlace {
  /** `localhost` unless given. */
  readonly host?: string;
  /** 6379 unless given. */
  readonly port?: number;
}

/** What is needed of the class `Redis` of `ioredis`, from version 5 on. */
export type RedisClass<Redis extends object> = new (options: never) => Redis;

const rest = { firstRetryMs: 1000, longestRetryMs: 60_000, answerMs: 5000 } as const;
/** A connection carries what these began, until those end it. */
const pins: ReadonlySet<string> = new Set(['watch', 'multi']);
const unpins: ReadonlySet<string> = new Set(['exec', 'discard', 'unwatch']);

/**
 * A client of `ioredis` that talks to the server with the right SPIFFE ID alone and presents the identity of the moment
 * that it connects. After a rotation a connection with the new certificate is made and proved first; then commands wait
 * for the moment that those before are answered, and go on over the new one. A client that subscribes, or is within WATCH
 * or MULTI, stays on its connection until it is not.
 *
 * @param options as `new Redis(options)` takes them, without `tls`; a `host` and a `port`, no path, sentinels or cluster
 * @throws CountersignError ERR_IDENTITY_ADAPTER, ERR_IDENTITY_PATTERN; ERR_USAGE for what is not done here
 */
export function ioRedis<Redis extends object>(
  Redis: RedisClass<Redis>,
  source: LiveSource,
  options: RedisPlace & Readonly<Record<string, unknown>> = {},
  rules: RedisRules = {},
): Redis {
  const { host = 'localhost', port = 6379 } = options;
  const { clock = systemClock, log = warningLog } = rules;
  for (const other of ['tls', 'path', 'sentinels', 'Connector'] as const) {
    if (!(other in options)) continue;
    throw new CountersignError('ERR_USAGE', `ioredis: "${other}" does not go with an identity`);
  }
  if (typeof Redis !== 'function' || typeof Redis.prototype.sendCommand !== 'function') {
    throw new CountersignError('ERR_IDENTITY_ADAPTER', 'ioredis: not its class Redis');
  }
  const dial = dialler(source, rules);
  const places = { prepared: undefined as TLSSocket | undefined };

  /** As `ioredis` asks for connections. */
  class IdentityConnector {
    connecting = false;
    firstError: Error | undefined;
    stream: TLSSocket | undefined;

    check(): boolean {
      return true;
    }

    async connect(): Promise<TLSSocket> {
      this.connecting = true;
      const ready = places.prepared;
      places.prepared = undefined;
      if (ready !== undefined && !ready.destroyed) {
        this.stream = ready;
        return ready;
      }
      const dialled = await dial({ host, port, alpn: [] }).catch((thrown: Error) => thrown);
      if (dialled instanceof Error) return this.#failed(dialled);
      if (!this.connecting) {
        dialled.socket.destroy();
        return this.#failed(new Error('connection is closed'));
      }
      this.stream = dialled.socket;
      return dialled.socket;
    }

    disconnect(): void {
      this.connecting = false;
      this.stream?.end();
      const { stream } = this;
      void clock.sleep(rest.answerMs, { ref: false }).then(() => stream?.destroy());
    }

    /** A rejection would end the client for good; a dead connection is tried again. */
    #failed(reason: Error): TLSSocket {
      this.firstError = reason;
      return deadSocket();
    }
  }

  const client = new Redis({ ...options, host, port, Connector: IdentityConnector } as never);
  followIdentity(client as unknown as RedisClient);
  return client;

  function followIdentity(redis: RedisClient): void {
    const send = redis.sendCommand.bind(redis);
    let held: { readonly command: RedisCommand; readonly stream: unknown }[] | undefined;
    let isPinned = false;
    let round = new AbortController();
    const unpinned = new EventTarget();

    Object.defineProperty(redis, 'sendCommand', {
      configurable: true,
      writable: true,
      value(command: RedisCommand & { readonly promise?: unknown }, stream?: unknown) {
        if (held !== undefined) {
          held.push({ command, stream });
          return command.promise;
        }
        if (pins.has(command.name)) isPinned = true;
        if (unpins.has(command.name)) {
          isPinned = false;
          unpinned.dispatchEvent(new Event('unpinned'));
        }
        return send(command, stream);
      },
    });
    const unfollow = source.onChange(() => {
      round.abort();
      round = new AbortController();
      void replace(round.signal);
    });
    redis.on('end', () => {
      unfollow();
      round.abort();
      places.prepared?.destroy();
    });

    async function replace(signal: AbortSignal): Promise<void> {
      for (let waitMs: number = rest.firstRetryMs; !signal.aborted; waitMs *= 2) {
        try {
          if (await replaceOnce(signal)) return;
        } catch (thrown) {
          const reason = messageOf(thrown);
          log.warn({ err: thrown, waitMs }, `redis: connection of before is kept: ${reason}`);
        }
        const napMs = Math.min(waitMs, rest.longestRetryMs);
        await clock.sleep(napMs, { signal, ref: false }).catch(() => {});
      }
    }

    async function replaceOnce(signal: AbortSignal): Promise<boolean> {
      if (redis.status !== 'ready') return true;
      if (redis.mode !== 'normal') return false;
      // 1. the new connection is made, and proved
      const { socket } = await dial({ host, port, alpn: [], signal });
      await proveRedis(socket, clock);
      if (isPinned) await once(unpinned, 'unpinned', { signal });
      // 2. what is sent from now on waits; what was sent before is answered
      const answered = redis.ping();
      held = [];
      try {
        const isIdle = await Promise.race([answered.then(() => true), tooLong(clock)]);
        if (!isIdle || signal.aborted || redis.status !== 'ready') {
          socket.destroy();
          return false;
        }
        // 3. the swap
        places.prepared = socket;
        redis.disconnect(true);
        await Promise.race([
          new Promise<void>((resolve) => redis.once('connecting', resolve)),
          tooLong(clock),
        ]);
        return true;
      } finally {
        const waiting = held;
        held = undefined;
        for (const { command, stream } of waiting) redis.sendCommand(command, stream);
      }
    }
  }
}

async function tooLong(clock: Clock): Promise<false> {
  await clock.sleep(rest.answerMs, { ref: false });
  return false;
}

/** A server that wants a password first has taken the certificate too. */
async function proveRedis(socket: TLSSocket, clock: Clock): Promise<void> {
  const answer = once(socket, 'data') as Promise<[Buffer]>;
  socket.write('*1\r\n$4\r\nPING\r\n');
  const closed = once(socket, 'close').then(() => 'closed by the other side');
  const first = await Promise.race([
    answer.then(([data]) => data.toString('latin1')),
    closed,
    tooLong(clock).then(() => 'no answer'),
  ]);
  if (/^[+]PONG\r\n$|^-NOAUTH /.test(first)) return;
  socket.destroy();
  throw new CountersignError('ERR_TLS_HANDSHAKE', `redis: ${first.trim().slice(0, 100)}`);
}

/** What is tried again by `ioredis` as a connection that failed. */
function deadSocket(): TLSSocket {
  return { destroyed: true, setNoDelay() {}, setKeepAlive() {} } as unknown as TLSSocket;
}
