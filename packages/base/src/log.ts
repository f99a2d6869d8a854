import type { Fields } from './errors.ts';

/** Structured log lines to the operator. The wiring gives a pino one; a room never constructs its own. */
export interface Log {
  debug(fields: Fields, message: string): void;
  info(fields: Fields, message: string): void;
  warn(fields: Fields, message: string): void;
  error(fields: Fields, message: string): void;
  child(bindings: Fields): Log;
}

export const noLog: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => noLog,
};
