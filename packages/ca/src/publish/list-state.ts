import { readFile } from 'node:fs/promises';
import { CountersignError, messageOf, writeFileDurably } from '@countersign/base';

/** What has to be remembered of a list from one process to the next. */
export interface ListState {
  /** Of the newest list or delta of this scope. */
  readonly number: bigint;
  /** The newest list that was due by the clock, and not because something was revoked. Ms since the epoch. */
  readonly scheduledAt: number;
  /**
   * Lists of old, ascending; delta lists begin from the first. It is so old that every list before it has ended: whoever
   * holds a valid list can use the newest delta.
   */
  readonly marks: readonly [ListMark, ...ListMark[]];
}

/** A list by its number, and the newest revocation that it knew of. */
export interface ListMark {
  readonly at: number;
  readonly number: bigint;
  readonly position: number;
}

export type ListStates = ReadonlyMap<string, ListState>;

/** Where the state of lists is kept. Durable when `write` resolves: no list is given out whose number is not. */
export interface ListStateStore {
  read(): Promise<ListStates>;
  write(states: ListStates): Promise<void>;
}

/** @throws CountersignError ERR_STATE_BROKEN from `read` */
export function listStateFile(file: string): ListStateStore {
  return {
    async read() {
      try {
        return parseStates(await readFile(file, 'utf8'));
      } catch (thrown) {
        if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return new Map();
        throw new CountersignError('ERR_STATE_BROKEN', `read "${file}": ${messageOf(thrown)}`, {
          fields: { file },
          hint: 'restore it from a backup; without it numbers of lists could repeat',
          cause: thrown,
        });
      }
    },
    write: (states) => writeFileDurably(file, formatStates(states)),
  };
}

/** The marks once a further list was made. They are few, however often lists are made. */
export function markedList(
  marks: ListState['marks'] | undefined,
  made: ListMark,
  validityMs: number,
): ListState['marks'] {
  if (marks === undefined) return [made];
  const newest = marks.at(-1)?.at ?? 0;
  const isApart = made.at >= newest + validityMs / 16 || made.at < newest;
  const [first, ...rest] = isApart ? ([...marks, made] as const) : marks;
  const kept: [ListMark, ...ListMark[]] = [first, ...rest];
  while (kept[1] !== undefined && kept[1].at <= made.at - validityMs) kept.shift();
  return kept;
}

/** For authorities that leave nothing behind. */
export function volatileListState(): ListStateStore {
  let kept: ListStates = new Map();
  return {
    read: async () => kept,
    async write(states) {
      kept = new Map(states);
    },
  };
}

/**
 * A number that is higher whenever a list knows more or is newer, also among processes over one ledger: the position of
 * the newest revocation that it knows of, then the second (RFC 5280 §5.2.3: monotonic, at most 20 octets). Should the
 * clock or the ledger go back, it counts on.
 */
export function nextNumber(last: bigint | undefined, position: number, now: number): bigint {
  const seconds = BigInt(Math.max(0, Math.floor(now / 1000)));
  const number = (BigInt(position) << secondsBits) | (seconds & ((1n << secondsBits) - 1n));
  return last === undefined || number > last ? number : last + 1n;
}

const secondsBits = 40n;
const format = 'countersign-lists';

function formatStates(states: ListStates): string {
  const lists = Object.fromEntries(
    [...states].map(([id, { number, scheduledAt, marks }]) => [
      id,
      {
        number: String(number),
        scheduledAt,
        marks: marks.map((mark) => ({ ...mark, number: String(mark.number) })),
      },
    ]),
  );
  return `${JSON.stringify({ format, version: 1, lists })}\n`;
}

function parseStates(text: string): ListStates {
  const json = JSON.parse(text);
  if (json?.format !== format || json.version !== 1 || typeof json.lists !== 'object') {
    throw new TypeError('it is no state of lists of this version');
  }
  return new Map(
    Object.entries<Record<string, unknown>>(json.lists).map(([id, written]) => [
      id,
      {
        number: numberOf(written.number),
        scheduledAt: integerOf(written.scheduledAt),
        marks: marksOf(written.marks),
      },
    ]),
  );
}

function marksOf(written: unknown): ListState['marks'] {
  const [first, ...rest] = Array.isArray(written) ? written.map(markOf) : [];
  if (first === undefined) throw new TypeError('a list has no marks');
  return [first, ...rest];
}

function markOf(written: unknown): ListMark {
  const { at, number, position } = Object(written) as Record<string, unknown>;
  return { at: integerOf(at), number: numberOf(number), position: integerOf(position) };
}

function numberOf(written: unknown): bigint {
  if (typeof written === 'string' && /^\d{1,48}$/.test(written)) return BigInt(written);
  throw new TypeError(`"${String(written)}" is no number of a list`);
}

function integerOf(written: unknown): number {
  if (Number.isSafeInteger(written)) return Number(written);
  throw new TypeError(`"${String(written)}" is no whole number`);
}
