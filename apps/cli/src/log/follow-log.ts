import { readFile } from 'node:fs/promises';
import { type Clock, CountersignError, messageOf, writeFileDurably } from '@countersign/base';
import { formatNoteKey, LogFollower, type LogSource, type NoteKey } from '@countersign/wire';
import type { KnownKeys } from './known-keys.ts';
import { readEntry } from './logged-certificate.ts';

/** A certificate under the watched name that its owner does not know. */
export interface Alert {
  readonly code: 'ERR_LOG_UNKNOWN_ISSUE';
  readonly log: string;
  readonly index: number;
  readonly spiffeId: string;
  readonly serial: string;
  readonly key: string;
  readonly names: readonly string[];
  readonly notAfter: string;
}

export interface Watch {
  readonly source: LogSource;
  readonly follower: LogFollower;
  readonly spiffeId: string;
  readonly known: KnownKeys;
  /** Leaves before it are proved, and not told of. */
  readonly from: number;
  readonly onAlert: (alert: Alert) => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * Reads the log to its newest checkpoint and tells of every certificate under the name that nobody knows. An alert is given
 * at once; the follower's state goes on only when the log has proved all that it showed.
 *
 * @throws CountersignError ERR_LOG_INCONSISTENT and the others of a follower
 */
export async function watchOnce(watch: Watch): Promise<void> {
  const { follower, source, spiffeId, known, signal } = watch;
  for await (const { index, entry } of follower.advance(source)) {
    if (signal.aborted) return;
    if (index < watch.from) continue;
    const read = readEntry(index, entry);
    if ('malformed' in read || !read.names.includes(`uri:${spiffeId}`)) continue;
    if (await known.knows(read.serial, read.key, signal)) continue;
    const log = follower.key.name;
    await watch.onAlert({ code: 'ERR_LOG_UNKNOWN_ISSUE', log, spiffeId, ...read });
  }
}

/**
 * Where the last watch stood, or the beginning.
 *
 * @throws CountersignError ERR_LOG_FORM, ERR_LOG_CHECKPOINT, and where the state is of a log with another key
 */
export async function followerOf(
  key: NoteKey,
  stateFile: string | undefined,
): Promise<{ readonly follower: LogFollower; readonly isNew: boolean }> {
  const text = stateFile === undefined ? undefined : await readState(stateFile);
  if (text === undefined) return { follower: new LogFollower(key), isNew: true };
  const follower = LogFollower.restore(jsonOf(text, stateFile ?? ''));
  if (formatNoteKey(follower.key) === formatNoteKey(key)) return { follower, isNew: false };
  const sides = `"${stateFile}" followed "${follower.key.name}", this one is "${key.name}"`;
  throw new CountersignError(
    'ERR_LOG_INCONSISTENT',
    `the log has another key than before: ${sides}`,
  );
}

export async function keepState(follower: LogFollower, file: string | undefined): Promise<void> {
  if (file !== undefined) await writeFileDurably(file, follower.state());
}

/** A replica may lag for a moment; a log that stays behind what it has shown is another one. */
export class BehindCheck {
  readonly #clock: Clock;
  #since: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @throws CountersignError ERR_LOG_INCONSISTENT once it has been behind for a minute */
  check({ behind, size, key }: LogFollower): void {
    const now = this.#clock.monotonic();
    this.#since = behind === 0 ? undefined : (this.#since ?? now);
    if (this.#since === undefined || now - this.#since < 60_000) return;
    const sides = `${size} entries before, ${size - behind} for a minute now`;
    throw new CountersignError('ERR_LOG_INCONSISTENT', `log "${key.name}" showed ${sides}`);
  }
}

async function readState(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new CountersignError('ERR_FILE', `log watch: read "${file}": ${messageOf(thrown)}`);
  }
}

function jsonOf(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new CountersignError('ERR_LOG_FORM', `log watch: "${file}" is not JSON`);
  }
}
