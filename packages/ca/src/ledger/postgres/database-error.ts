import { CountersignError, messageOf } from '@countersign/base';

/**
 * What an error of the database, or of the way to it, means for what was asked.
 *
 * - `contention`: undone by the database, because of others; ask again.
 * - `away`: the database cannot be reached or does not serve now.
 * - `broken`: it answers, and will answer the same again.
 */
export type Trouble = 'contention' | 'away' | 'broken';

export function troubleOf(thrown: unknown): Trouble {
  if (thrown instanceof CountersignError) return 'broken';
  const state = sqlStateOf(thrown);
  // The driver's and the socket's own errors carry no SQLSTATE.
  if (state === undefined) return 'away';
  if (contention.has(state)) return 'contention';
  return awayStates.has(state) || awayClasses.has(state.slice(0, 2)) ? 'away' : 'broken';
}

export function isContention(thrown: unknown): boolean {
  return troubleOf(thrown) === 'contention';
}

/** Whether COMMIT itself was answered with this: then nothing was committed. Otherwise nobody can tell without looking. */
export function wasRolledBack(thrown: unknown): boolean {
  const state = sqlStateOf(thrown);
  return state !== undefined && (contention.has(state) || state.startsWith('23'));
}

/** In words for an operator. The server's messages never repeat a password. */
export function describeTrouble(thrown: unknown): string {
  // One for each address of a host that was tried.
  if (thrown instanceof AggregateError) return thrown.errors.map(messageOf).join(', ');
  const state = sqlStateOf(thrown);
  return state === undefined ? messageOf(thrown) : `${messageOf(thrown)} (SQLSTATE ${state})`;
}

function sqlStateOf(thrown: unknown): string | undefined {
  const { code, syscall } = (thrown ?? {}) as { code?: unknown; syscall?: unknown };
  // "EPIPE" has the form of a state too.
  if (syscall !== undefined) return undefined;
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined;
}

/** serialization_failure, deadlock_detected, lock_not_available. */
const contention: ReadonlySet<string> = new Set(['40001', '40P01', '55P03']);

/** statement_completion_unknown, query_canceled, read_only_sql_transaction (a standby), idle_in_transaction_session_timeout. */
const awayStates: ReadonlySet<string> = new Set(['40003', '57014', '25006', '25P03']);

/**
 * Connection exceptions, operator intervention, insufficient resources (disk full, too many connections), system
 * errors, refused authorization (passwords are changed), no such database.
 */
const awayClasses: ReadonlySet<string> = new Set(['08', '57', '53', '58', '28', '3D']);
