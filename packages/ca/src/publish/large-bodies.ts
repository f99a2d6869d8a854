import type { ServerResponse } from 'node:http';
import type { Clock } from '@countersign/base';

/** What is smaller is soon gone, or fits the buffers of a connection. */
const largestSmall = 1024 * 1024;
/** Versions of large lists that readers may hold at once. */
const mostBodies = 4;
const leastMs = 30_000;
const leastBytesPerMs = 256;

/**
 * Bounds what slow readers hold of large lists, of which a new one may come every second: each has as long as a slow
 * line needs, and who reads the oldest of too many versions is hung up on.
 */
export class LargeBodies {
  readonly #clock: Clock;
  readonly #readers = new Map<Uint8Array, Set<ServerResponse>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Before the response ends with the body. */
  watch(body: Uint8Array, response: ServerResponse): void {
    if (body.byteLength <= largestSmall) return;
    const readers = this.#readers.get(body) ?? new Set();
    this.#readers.set(body, readers.add(response));
    const over = new AbortController();
    const ms = leastMs + body.byteLength / leastBytesPerMs;
    const late = this.#clock.sleep(ms, { signal: over.signal, ref: false });
    late.then(
      () => response.destroy(),
      () => {},
    );
    response.once('close', () => {
      over.abort();
      readers.delete(response);
      if (readers.size === 0) this.#readers.delete(body);
    });
    if (this.#readers.size <= mostBodies) return;
    const [oldest] = this.#readers.values();
    for (const reader of oldest ?? []) reader.destroy();
  }
}
