import type { Socket } from 'node:net';

/** Connections that are accepted and not yet judged, so that a shut-down can wait for them. */
export class HandshakesUnderWay {
  readonly #ends = new Set<string>();
  #whenNone: (() => void)[] = [];

  get count(): number {
    return this.#ends.size;
  }

  begun(raw: Socket): void {
    const end = endOf(raw);
    this.#ends.add(end);
    raw.once('close', () => this.#over(end));
  }

  /** Judged, one way or the other. @param socket the connection, or TLS over it */
  over(socket: Socket): void {
    this.#over(endOf(socket));
  }

  /** Resolves once none is under way; at once if none is. */
  async none(): Promise<void> {
    if (this.#ends.size === 0) return;
    await new Promise<void>((resolve) => this.#whenNone.push(resolve));
  }

  #over(end: string): void {
    if (!this.#ends.delete(end) || this.#ends.size > 0) return;
    const waiting = this.#whenNone;
    this.#whenNone = [];
    for (const resolve of waiting) resolve();
  }
}

/** Node does not say which connection a TLS socket stands on; the other side's address tells them apart. */
export function endOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
