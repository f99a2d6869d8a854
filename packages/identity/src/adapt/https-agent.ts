import type { ClientRequestArgs } from 'node:http';
import { Agent, type AgentOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { CountersignError } from '@countersign/base';
import type { LiveSource } from '../live/live-source.ts';
import { type Dialler, type DialRules, dialler } from './dialling.ts';

export type HttpsAgentOptions = DialRules &
  Pick<AgentOptions, 'keepAlive' | 'maxSockets' | 'maxFreeSockets' | 'maxTotalSockets' | 'timeout'>;

/**
 * An agent for `node:https` whose connections present the identity of the moment that they are made. After a rotation no
 * request begins on a connection of before; requests under way end on theirs.
 */
export function httpsAgent(source: LiveSource, options: HttpsAgentOptions = {}): Agent {
  return new IdentityAgent(source, options);
}

class IdentityAgent extends Agent {
  readonly #source: LiveSource;
  readonly #dial: Dialler;
  readonly #serials = new WeakMap<Duplex, string>();
  readonly #unfollow: () => void;

  constructor(source: LiveSource, options: HttpsAgentOptions) {
    const { keepAlive = true, maxSockets, maxFreeSockets, maxTotalSockets, timeout } = options;
    const limits = { maxSockets, maxFreeSockets, maxTotalSockets, timeout };
    super({
      keepAlive,
      ...Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined)),
      // A resumed session shows no chain that could be judged.
      maxCachedSessions: 0,
    });
    this.#source = source;
    this.#dial = dialler(source, options);
    this.#unfollow = source.onChange(() => this.#endIdle());
  }

  // Node's own name for a pool of connections: those of two identities are not of one pool.
  override getName(options?: ClientRequestArgs): string {
    return `${super.getName(options)}:${this.#source.svid().serialHex}`;
  }

  override createConnection(
    options: ClientRequestArgs,
    callback?: (failed: Error | null, stream: Duplex) => void,
  ): undefined {
    const { host, port, servername, signal } = options as ClientRequestArgs & {
      servername?: string;
    };
    const serial = this.#source.svid().serialHex;
    const done = callback as (failed: Error | null, stream?: TLSSocket) => void;
    if (typeof host !== 'string') {
      const message = 'connect: a host is needed, a socket path has no certificate to name it';
      done(new CountersignError('ERR_USAGE', message));
      return undefined;
    }
    this.#dial({
      ...{ host, port: Number(port) },
      ...(typeof servername === 'string' && servername !== '' ? { servername } : {}),
      ...(signal instanceof AbortSignal ? { signal } : {}),
    }).then(
      ({ socket }) => {
        this.#serials.set(socket, serial);
        done(null, socket);
      },
      (thrown: Error) => done(thrown),
    );
  }

  override keepSocketAlive(socket: Duplex): boolean {
    if (this.#serials.get(socket) !== this.#source.svid().serialHex) return false;
    // It answers with a boolean, whatever the types of Node say.
    return (super.keepSocketAlive as (socket: Duplex) => unknown).call(this, socket) !== false;
  }

  override destroy(): void {
    this.#unfollow();
    super.destroy();
  }

  #endIdle(): void {
    const serial = this.#source.svid().serialHex;
    for (const sockets of Object.values(this.freeSockets)) {
      for (const socket of [...(sockets ?? [])]) {
        if (this.#serials.get(socket) !== serial) socket.destroy();
      }
    }
  }
}
