import { CountersignError } from '@countersign/base';
import type { ClientRequest } from './client/client-exchange.ts';

/** What of a body is kept, so that it can be sent more than once: it is whole, or of no use. */
export class BodyRecord {
  readonly chunks: Uint8Array[] = [];
  readonly #maxBytes: number;
  #bytes = 0;
  #state: 'unread' | 'reading' | 'whole' | 'too large' = 'unread';

  /** @param maxBytes what is longer is let go of */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Whether it can be sent again: nobody has begun to read it, or all of it is here. */
  get isRepeatable(): boolean {
    return this.#state === 'unread' || this.#state === 'whole';
  }

  get isWhole(): boolean {
    return this.#state === 'whole';
  }

  begin(): void {
    if (this.#state === 'unread') this.#state = 'reading';
  }

  add(chunk: Uint8Array): void {
    if (this.#state !== 'reading') return;
    this.#bytes += chunk.byteLength;
    if (this.#bytes <= this.#maxBytes) return void this.chunks.push(chunk);
    this.#state = 'too large';
    this.chunks.length = 0;
  }

  end(): void {
    if (this.#state === 'reading') this.#state = 'whole';
  }
}

export interface BodyReading {
  readonly maxBytes: number | undefined;
  readonly record?: BodyRecord | undefined;
  /** Told when all of it was received. */
  readonly onEnd?: (() => void) | undefined;
}

/**
 * The request's body piece by piece, as the upstream takes it: nothing is read ahead. Ending early leaves the client's
 * connection alone, so that it can still be answered.
 *
 * @throws CountersignError ERR_GATEWAY_BODY_TOO_LARGE while it is read
 */
export async function* requestBody(
  request: ClientRequest,
  { maxBytes, record, onEnd }: BodyReading,
): AsyncGenerator<Uint8Array> {
  if (record?.isWhole === true) return yield* record.chunks;
  record?.begin();
  let total = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    total += (chunk as Uint8Array).byteLength;
    if (maxBytes !== undefined && total > maxBytes) {
      const detail = `request body of more than ${maxBytes} bytes`;
      throw new CountersignError('ERR_GATEWAY_BODY_TOO_LARGE', detail);
    }
    record?.add(chunk as Uint8Array);
    yield chunk as Uint8Array;
  }
  record?.end();
  onEnd?.();
}
