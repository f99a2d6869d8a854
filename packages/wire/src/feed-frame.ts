import type { RevocationReason } from '@countersign/x509';
import { parseJsonBody, readMessage } from './read-message.ts';
import { type RevocationBy, reasonWords, revocationBys } from './revoke-messages.ts';

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

/** One revocation. It covers the certificates ordered before `position`. */
export interface RevocationFrame {
  readonly type: 'revocation';
  readonly position: number;
  /** Position of the revocation before it, 0 for the first of the ledger: a reader with another last one has a gap. */
  readonly previous: number;
  readonly by: RevocationBy;
  readonly value: string;
  readonly reason: RevocationReason;
  /** When it was appended, milliseconds since the Unix epoch. */
  readonly at: number;
  readonly block?: boolean;
}

/** Sent when nothing else was for a while. `position` is again that of the newest revocation. */
export interface HeartbeatFrame {
  readonly type: 'heartbeat';
  readonly position: number;
  readonly at: number;
}

export type FeedFrame = HelloFrame | RevocationFrame | HeartbeatFrame;

/** A frame's line holds at most this many bytes, its line feed excluded. */
export const maxFrameBytes = 16 * 1024;

const fingerprintRule = {
  pattern: /^[0-9a-f]{64}$/,
  form: 'a SHA-256 in lowercase hexadecimal',
};

/** @throws CountersignError ERR_WIRE_FEED, ERR_WIRE_UNKNOWN_MEMBER: an unknown frame or member is never passed over */
export function parseFeedFrame(json: unknown): FeedFrame {
  return readMessage(
    'feed frame',
    json,
    (m): FeedFrame => {
      const type = m.oneOf('type', ['hello', 'revocation', 'heartbeat']);
      const position = m.integer('position', { min: 0 });
      if (type === 'heartbeat') return { type, position, at: m.integer('at', { min: 0 }) };
      if (type === 'hello') {
        return {
          type,
          trustDomain: m.text('trustDomain', { max: 255 }),
          anchors: m.list('anchors', { minItems: 1, maxItems: 64 }, (item, at) =>
            readMessage(
              'feed frame',
              { [at]: item },
              (a) => a.text(at, fingerprintRule),
              feedRules,
            ),
          ),
          position,
          heartbeatMs: m.integer('heartbeatMs', { min: 10, max: 3_600_000 }),
        };
      }
      const previous = m.integer('previous', { min: 0 });
      if (previous >= position) {
        throw m.fail('previous', `is ${previous}, expected less than position ${position}`);
      }
      const block = m.optional('block', (name) => m.boolean(name));
      return {
        type,
        position,
        previous,
        by: m.oneOf('by', revocationBys),
        value: m.text('value'),
        reason: m.oneOf('reason', reasonWords),
        at: m.integer('at', { min: 0 }),
        ...(block === undefined ? {} : { block }),
      };
    },
    feedRules,
  );
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
