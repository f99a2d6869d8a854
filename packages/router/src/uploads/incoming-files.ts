import type { IncomingMessage } from 'node:http';
import { denial } from '@countersign/base';
import { Busboy, type BusboyFileStream, type BusboyInstance } from '@fastify/busboy';
import type { RefusedRequest } from '../http/read-request.ts';
import type { ArrivingFile } from './uploaded-file.ts';

export interface UploadLimits {
  readonly max_files: number;
  /** Of each. */
  readonly max_file_bytes: number;
}

/**
 * The files of a multipart request as they come, one after the other: whoever takes one reads it at the sender's pace,
 * and nobody's is read away. What is wrong with the request is known once all of it was read.
 */
export class IncomingFiles {
  readonly #limits: UploadLimits;
  readonly #expected: Set<string>;
  readonly #arrived: ArrivingFile[] = [];
  readonly #request: IncomingMessage;
  readonly #wakers = new Set<() => void>();
  #isOver = false;
  #isUnwanted = false;
  #refusal: RefusedRequest | undefined;

  constructor(request: IncomingMessage, expected: readonly string[], limits: UploadLimits) {
    this.#request = request;
    this.#expected = new Set(expected);
    this.#limits = limits;
  }

  /** Why the request is none, as far as it was read. */
  get refusal(): RefusedRequest | undefined {
    return this.#refusal;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  arrive(name: string, stream: BusboyFileStream, filename: string, mimeType: string): void {
    stream.on('error', () => {});
    if (!this.#expected.delete(name)) {
      stream.resume();
      this.fail(malformed(`file "${name.slice(0, 64)}" is not in "map", or came twice`));
      return;
    }
    const { max_file_bytes: most } = this.#limits;
    stream.once('limit', () => {
      const detail = `file "${name}" of more than ${most} bytes`;
      const refusal = { ...denial('ERR_GRAPHQL_LIMIT', detail, { most }), status: 413 };
      this.fail(refusal);
      stream.destroy(new Error(detail));
    });
    if (this.#isUnwanted || this.#refusal !== undefined) {
      stream.resume();
      return;
    }
    this.#arrived.push({ name, filename, mimeType, stream });
    this.#wake();
  }

  fail(refusal: RefusedRequest): void {
    this.#refusal ??= refusal;
    this.#isUnwanted = true;
    for (const { stream } of this.#arrived) stream.destroy(new Error(refusal.detail));
    this.#wake();
  }

  finish(): void {
    this.#isOver = true;
    const [missing] = this.#expected;
    if (missing !== undefined) this.fail(malformed(`file "${missing}" of "map" was not sent`));
    this.#wake();
  }

  /** Takes the files in the order in which they come. @throws Error where the request is none */
  async *take(): AsyncGenerator<ArrivingFile> {
    for (;;) {
      const next = this.#arrived.shift();
      if (next !== undefined) yield next;
      else if (this.#refusal !== undefined) throw new Error(this.#refusal.detail);
      else if (this.#isOver) return;
      else await this.#change();
    }
  }

  /** Reads on to the end, past what nobody took; gives what is wrong with the request. */
  async settle(signal: AbortSignal): Promise<RefusedRequest | undefined> {
    this.#isUnwanted = true;
    for (const { stream } of this.#arrived.splice(0)) stream.resume();
    const wake = () => this.#wake();
    signal.addEventListener('abort', wake, { once: true });
    while (!this.#isOver && this.#refusal === undefined && !signal.aborted) await this.#change();
    signal.removeEventListener('abort', wake);
    return this.#refusal;
  }

  /** The rest is not read: its connection cannot take another request. */
  abandon(): void {
    if (!this.#isOver) this.#request.unpipe();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wakers.add(resolve));
  }

  #wake(): void {
    const wakers = [...this.#wakers];
    this.#wakers.clear();
    for (const wake of wakers) wake();
  }
}

export function malformed(detail: string): RefusedRequest {
  return { ...denial('ERR_GRAPHQL_UPLOAD', detail), status: 400 };
}

/** @returns undefined where the content-type has no boundary, or is otherwise none */
export function openParser(
  request: IncomingMessage,
  { max_files: files, max_file_bytes: fileSize }: UploadLimits,
  maxFieldBytes: number,
): BusboyInstance | undefined {
  try {
    return new Busboy({
      headers: { ...request.headers, 'content-type': request.headers['content-type'] ?? '' },
      limits: {
        ...{ files: files + 1, fileSize, fieldSize: maxFieldBytes, fields: 2 },
        ...{ fieldNameSize: 100, headerPairs: 20, headerSize: 8192, parts: files + 3 },
      },
    });
  } catch {
    return undefined;
  }
}
