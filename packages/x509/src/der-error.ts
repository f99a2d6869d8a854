import { CountersignError, type ErrorCode, type Fields } from '@countersign/base';

export type DerErrorCode = Extract<ErrorCode, `ERR_DER_${string}`>;

/** Bytes that are not canonical DER, or not of the expected shape; `fields.offset` counts from the outermost document. */
export class DerError extends CountersignError {
  readonly offset: number;

  constructor(code: DerErrorCode, what: string, offset: number, detail: string, fields?: Fields) {
    super(code, `${what} at offset ${offset}: ${detail}`, { fields: { what, offset, ...fields } });
    this.name = 'DerError';
    this.offset = offset;
  }
}
