import {
  feedDialect,
  formatFeedFrame,
  mostRuns,
  type QuestionFrame,
  type RevocationBy,
  type RevocationFrame,
  toldBySerial,
  toldInPart,
} from '@countersign/wire';
import type { Ledger, RevocationRecord } from '../ledger/ledger.ts';
import { isRelease } from '../ledger/revocation-order.ts';

/** How far a reader is: revocations that it has whole, and of the next one what it was told of. */
export interface FeedCursor {
  readonly position: number;
  /** Position of the last intent that it was told of. */
  readonly told: number;
  /** Frames that told of them. */
  readonly pages: number;
}

export interface FeedPage {
  /** Frames as they are sent; empty when there is nothing after the cursor. */
  readonly lines: string;
  readonly next: FeedCursor;
}

type Pages = Pick<Ledger, 'revocationsAfter' | 'coveredRuns' | 'endsOf'>;

const pageSize = 256;
/** Of one page, about: a reader's pace is respected page by page. */
const mostCharacters = 256 * 1024;

export function cursorAt(position: number): FeedCursor {
  return { position, told: 0, pages: 0 };
}

/** The frames after a cursor, from the ledger; what a certificate does not show is told ahead of its revocation. */
export async function readFeedPage(
  ledger: Pages,
  cursor: FeedCursor,
  dialect: number,
): Promise<FeedPage> {
  const records = await ledger.revocationsAfter(cursor.position, pageSize);
  const ends = dialect < feedDialect ? new Map() : await endsOf(ledger, records);
  const lines: string[] = [];
  let length = 0;
  let next = cursor;
  for (const record of records) {
    let pages: number | undefined;
    if (isTold(record.by)) {
      const room = mostCharacters - length;
      const told = isRelease(record.reason)
        ? { lines: [], next, isWhole: true }
        : await tell(ledger, record, next, room);
      lines.push(...told.lines);
      next = told.next;
      if (!told.isWhole) break;
      pages = pagesOf(record.by, next.pages);
    }
    lines.push(formatFeedFrame(frameOf(record, pages, ends.get(record.position))));
    length = lines.reduce((sum, line) => sum + line.length, 0);
    next = cursorAt(record.position);
    if (length >= mostCharacters) break;
  }
  return { lines: lines.join(''), next };
}

/** A question with what it covers ahead of it; undefined where that is more than anybody is asked about. */
export async function questionLines(
  ledger: Pages,
  question: Omit<QuestionFrame, 'type' | 'pages'>,
): Promise<string | undefined> {
  if (!isTold(question.by)) return formatFeedFrame({ type: 'question', ...question });
  const asked = { ...question, position: question.below };
  const told = await tell(ledger, asked, cursorAt(0), mostCharacters);
  if (!told.isWhole) return undefined;
  const pages = pagesOf(question.by, told.next.pages);
  const counted = pages !== undefined && { pages };
  const frame = formatFeedFrame({ type: 'question', ...question, ...counted });
  return `${told.lines.join('')}${frame}`;
}

function isTold(by: RevocationBy): boolean {
  return toldBySerial.has(by) || toldInPart.has(by);
}

/** Of what certificates show in part, nothing is announced where there is nothing else. */
function pagesOf(by: RevocationBy, pages: number): number | undefined {
  return pages === 0 && toldInPart.has(by) ? undefined : pages;
}

async function tell(
  ledger: Pages,
  revocation: Pick<RevocationRecord, 'by' | 'value' | 'position'> & { readonly block?: boolean },
  from: FeedCursor,
  mostLength: number,
): Promise<{ readonly lines: string[]; readonly next: FeedCursor; readonly isWhole: boolean }> {
  const { by, value, position, block = false } = revocation;
  const question = { by, value, block, below: position, mostRuns };
  const lines: string[] = [];
  let { told, pages } = from;
  let length = 0;
  let runs: number[] = [];
  for (let more = true; more; ) {
    const room = mostRuns - runs.length / 2;
    const page = await ledger.coveredRuns({ ...question, above: told, mostRuns: room });
    ({ more, upTo: told } = page);
    runs.push(...page.runs);
    const isFull = runs.length === 2 * mostRuns;
    if (runs.length === 0 || (more && !isFull)) continue;
    const line = formatFeedFrame({ type: 'covered', position, page: pages, runs });
    lines.push(line);
    runs = [];
    pages += 1;
    length += line.length;
    const next = { ...from, told, pages };
    if (more && length >= mostLength) return { lines, next, isWhole: false };
  }
  return { lines, next: { ...from, told, pages }, isWhole: true };
}

/** When what is revoked by its serial ends: who follows may forget it some time after. */
async function endsOf(
  ledger: Pages,
  records: readonly RevocationRecord[],
): Promise<ReadonlyMap<number, number>> {
  const bySerial = records.filter(({ by }) => by === 'serial');
  if (bySerial.length === 0) return new Map();
  const ends = await ledger.endsOf(bySerial.map(({ value }) => value));
  return new Map(
    bySerial.flatMap(({ position }, i) => {
      const end = ends[i];
      return end === undefined ? [] : [[position, end] as const];
    }),
  );
}

function frameOf(
  record: RevocationRecord,
  pages: number | undefined,
  until: number | undefined,
): RevocationFrame {
  const { position, previous, by, value, reason, at, block } = record;
  return {
    type: 'revocation',
    position,
    previous,
    by,
    value,
    reason,
    at,
    ...(block ? { block } : {}),
    ...(pages === undefined ? {} : { pages }),
    ...(until === undefined ? {} : { until }),
  };
}
