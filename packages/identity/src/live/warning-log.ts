import { emitWarning } from 'node:process';
import type { Log } from '@countersign/base';

/**
 * For an application that hands in no log: what it should hear of (a renewal that fails, a certificate that a database
 * refuses) becomes a warning of the process, which Node prints to standard error. The message alone, no fields.
 */
export const warningLog: Log = {
  debug: () => {},
  info: () => {},
  warn: warn,
  error: warn,
  child: () => warningLog,
};

function warn(fields: Readonly<Record<string, unknown>>, message: string): void {
  const { code } = fields;
  emitWarning(message, {
    type: 'CountersignWarning',
    ...(typeof code === 'string' ? { code } : {}),
  });
}
