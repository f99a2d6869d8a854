import type { RevocationReason } from '@countersign/x509';
import { type Members, parseJsonBody, readMessage } from './read-message.ts';
import { type RevocationBy, revocationBys, revocationForms } from './revocation-kinds.ts';
import { reasonWords } from './revoke-messages.ts';

/** The first frame of every feed response, and never again in it. */
export interface HelloFrame {
  readonly type: 'hello';
  readonly trustDomain: string;
  /** SHA-256 of each root's DER, lowercase hexadecimal: the authority speaks for certificates under these alone. */
  readonly anchors: readonly string[];
  /** Position of the newest revocation, 0 when there is none: who has applied it has caught up. */
  readonly position: number;
  /** A heartbeat follows at least this often; silence of several means a dead connection. */
  readonly heartbeatMs: number;
}

/** One revocation, or the release of one. It covers the certificates ordered before `position`. */
export interface RevocationFrame {
  readonly type: 'revocation';
  readonly position: number;
  /** Position of the revocation before it, 0 for the first of the ledger: a reader with another last one has a gap. */
  readonly previous: number;
  readonly by: RevocationBy;
  /** In the form that `revocationForms` has for its kind. */
  readonly value: string;
  /** `removeFromCRL`: what was revoked by the same value with `certificateHold` is not any more. */
  readonly reason: RevocationReason;
  /** When it was appended, milliseconds since the Unix epoch. */
  readonly at: number;
  readonly block?: boolean;
  /** How many frames of covered serial numbers came just before it; of kinds that a certificate does not show. */
  readonly pages?: number;
  /** When the last certificate ends that it covers, in milliseconds since the epoch. Absent: nobody knows. */
  readonly until?: number;
}

/**
 * Serial numbers that the revocation or question after it covers, by the ledger positions in them. A reader keeps them
 * until that comes, and forgets them with the connection.
 */
export interface CoveredFrame {
  readonly type: 'covered';
  /** Of the revocation; for a question the newest one's. */
  readonly position: number;
  /** 0, 1, 2, … */
  readonly page: number;
  /** First and last of each run, ascending: every certificate whose position lies in one is covered. */
  readonly runs: readonly number[];
}

/** How many connections would a revocation cut? Answered with the lease; sent to those alone who say that they read it. */
export interface QuestionFrame {
  readonly type: 'question';
  /** Of the newest revocation; what is asked about covers the certificates ordered before `below`. */
  readonly position: number;
  readonly id: string;
  readonly by: RevocationBy;
  readonly value: string;
  readonly below: number;
  readonly block?: boolean;
  readonly pages?: number;
}

/** Sent when nothing else was for a while. `position` is again that of the newest revocation. */
export interface HeartbeatFrame {
  readonly type: 'heartbeat';
  readonly position: number;
  readonly at: number;
}

export type FeedFrame =
  | HelloFrame
  | RevocationFrame
  | HeartbeatFrame
  | CoveredFrame
  | QuestionFrame;

/**
 * What a reader says that it understands, as `reads` of its request: 2 has `until`, and questions. To who says nothing
 * neither is sent; frames that it must not pass over are sent to everybody.
 */
export const feedDialect = 2;

/** In one frame, so that its line is within the limit whatever the numbers. */
export const mostRuns = 400;

/** A frame's line holds at most this many bytes, its line feed excluded. */
export const maxFrameBytes = 16 * 1024;

const fingerprintRule = {
  pattern: /^[0-9a-f]{64}$/,
  form: 'a SHA-256 in lowercase hexadecimal',
};

/** @throws CountersignError ERR_WIRE_FEED, ERR_WIRE_UNKNOWN_MEMBER: an unknown frame or member is never passed over */
export function parseFeedFrame(json: unknown): FeedFrame {
  return readMessage('feed frame', json, (m) => readers[m.oneOf('type', types)](m), feedRules);
}

type FrameType = FeedFrame['type'];

const readers: { readonly [T in FrameType]: (m: Members) => Extract<FeedFrame, { type: T }> } = {
  hello: (m) => ({
    type: 'hello',
    trustDomain: m.text('trustDomain', { max: 255 }),
    anchors: m.list('anchors', { minItems: 1, maxItems: 64 }, (item, at) =>
      readMessage('feed frame', { [at]: item }, (a) => a.text(at, fingerprintRule), feedRules),
    ),
    position: positionIn(m),
    heartbeatMs: m.integer('heartbeatMs', { min: 10, max: 3_600_000 }),
  }),

  heartbeat: (m) => ({
    type: 'heartbeat',
    position: positionIn(m),
    at: m.integer('at', { min: 0 }),
  }),

  revocation(m) {
    const position = positionIn(m);
    const previous = m.integer('previous', { min: 0 });
    if (previous >= position) {
      throw m.fail('previous', `is ${previous}, expected less than position ${position}`);
    }
    const until = m.optional('until', (name) => m.integer(name, { min: 0 }));
    return {
      type: 'revocation',
      position,
      previous,
      ...namedIn(m),
      reason: m.oneOf('reason', reasonWords),
      at: m.integer('at', { min: 0 }),
      ...(until === undefined ? {} : { until }),
    };
  },

  covered(m) {
    const runs = m.list('runs', { maxItems: 2 * mostRuns }, (item, at) => {
      if (Number.isSafeInteger(item) && Number(item) > 0) return Number(item);
      throw m.fail(at, 'is not a position in the ledger');
    });
    const isAscending = runs.every((end, i) =>
      i % 2 === 0 ? end > (runs[i - 1] ?? 0) : end >= (runs[i - 1] ?? 0),
    );
    if (!isAscending || runs.length % 2 !== 0) {
      throw m.fail('runs', 'are not first and last of runs that ascend');
    }
    return { type: 'covered', position: positionIn(m), page: m.integer('page', { min: 0 }), runs };
  },

  question: (m) => ({
    type: 'question',
    position: positionIn(m),
    id: m.text('id', questionIdRule),
    below: m.integer('below', { min: 1 }),
    ...namedIn(m),
  }),
};

const types = Object.keys(readers) as FrameType[];

/** Random for each question. */
export const questionIdRule = { pattern: /^[0-9a-f]{16}$/, form: '16 hex digits' } as const;

function positionIn(m: Members): number {
  return m.integer('position', { min: 0 });
}

/** What is revoked or asked about. A value that no certificate could have would revoke nothing, in silence. */
function namedIn(m: Members) {
  const by = m.oneOf('by', revocationBys);
  const value = m.text('value');
  const { isOf, say } = revocationForms[by];
  if (!isOf(value)) throw m.fail('value', `of a revocation by ${by} is not ${say}`);
  const block = m.optional('block', (name) => m.boolean(name));
  const pages = m.optional('pages', (name) => m.integer(name, { min: 0 }));
  return {
    by,
    value,
    ...(block === undefined ? {} : { block }),
    ...(pages === undefined ? {} : { pages }),
  };
}

const feedRules = { code: 'ERR_WIRE_FEED' } as const;

/** One line without its line feed. */
export function parseFeedLine(line: Uint8Array | string): FeedFrame {
  return parseFeedFrame(parseJsonBody(line, 'feed frame', maxFrameBytes));
}

/** One line with its line feed. */
export function formatFeedFrame(frame: FeedFrame): string {
  return `${JSON.stringify(frame)}\n`;
}
