import type { TLSSocket } from 'node:tls';
import type { Clock } from '@countersign/base';
import { dialUnjudged } from '@countersign/mtls';
import type { AuthorityAddress } from './authority-url.ts';

/** Authorities close what was not used for five seconds or more. */
const mostIdleMs = 3000;

/**
 * A connection to an address whose owner has proved nothing as yet: it is there for whoever judges it next, and nothing of
 * ours goes over it before. Its holder closes it, used or not.
 */
export class OpenConnection {
  readonly #socket: TLSSocket;
  readonly #clock: Clock;
  #usedAt: number;

  constructor(socket: TLSSocket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    this.#usedAt = clock.monotonic();
  }

  get socket(): TLSSocket {
    return this.#socket;
  }

  /** An answer has come over it. */
  used(): void {
    this.#usedAt = this.#clock.monotonic();
  }

  /** Whether the other side is still there, as far as anybody can tell. */
  get isFresh(): boolean {
    const { destroyed, writable, readableEnded } = this.#socket;
    if (destroyed || !writable || readableEnded) return false;
    return this.#clock.monotonic() - this.#usedAt < mostIdleMs;
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** @throws CountersignError ERR_DIAL_*, ERR_TLS_* */
export async function openConnection(
  { host, port }: AuthorityAddress,
  options: { readonly clock: Clock; readonly signal?: AbortSignal },
): Promise<OpenConnection> {
  return new OpenConnection(await dialUnjudged({ host, port, ...options }), options.clock);
}
