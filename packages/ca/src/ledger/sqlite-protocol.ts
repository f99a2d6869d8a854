import type { ErrorCode, Fields } from '@countersign/base';
import type { Words } from './sqlite-messages.ts';

/** What crosses between the ledger's front and its worker thread. */
export interface WorkerStart {
  readonly file: string;
  readonly create: boolean;
}

/** One batch: what had gathered while the batch before it was under way. `close` ends the worker after it. */
export interface WorkerBatch {
  /** {@link WorkerOperation}s. */
  readonly words: Words;
  readonly close: boolean;
}

export interface WorkerOperation {
  readonly name: string;
  readonly args: readonly unknown[];
  readonly at: number;
}

export type WorkerResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: WorkerError };

export interface WorkerError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly fields: Fields;
}

export type WorkerReply =
  | { readonly kind: 'ready' }
  /** The file is not open, or not any more: nothing of the last batch may be taken as done, and nothing more is. */
  | { readonly kind: 'failed'; readonly error: WorkerError }
  | {
      readonly kind: 'committed';
      /** {@link WorkerResult}s, in the order of the operations. */
      readonly words: Words;
      /** Set where the batch held a revocation. */
      readonly revocationHead: number | undefined;
    }
  | { readonly kind: 'closed' };
