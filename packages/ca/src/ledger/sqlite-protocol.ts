import type { ErrorCode, Fields } from '@countersign/base';

/** What crosses between the ledger's front and its worker thread. */
export interface WorkerStart {
  readonly file: string;
  readonly create: boolean;
}

/** One batch: what had gathered while the batch before it was under way. `close` ends the worker after it. */
export interface WorkerBatch {
  readonly operations: readonly {
    readonly name: string;
    readonly args: readonly unknown[];
    readonly at: number;
  }[];
  readonly close: boolean;
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
      readonly results: readonly WorkerResult[];
      /** Set where the batch held a revocation. */
      readonly revocationHead: number | undefined;
    }
  | { readonly kind: 'closed' };
