import { questionIdRule } from './feed-frame.ts';
import { readMessage } from './read-message.ts';

/** What a gateway closed when it re-asked its connections; the shape of `mtls`'s report. */
export interface CutCounts {
  readonly closed: number;
  readonly kept: number;
  readonly elapsedMs: number;
  /** Closed connections by the code that they were closed for. */
  readonly codes?: Readonly<Record<string, number>>;
}

/**
 * `POST /v1/feed/lease`. A lease says: this instance applies the feed, and fails closed after `maxSilenceMs` without
 * it. It ends that long after its last renewal, or when released.
 */
export type LeaseRequest =
  | {
      readonly release: false;
      /** Random for each process. */
      readonly instance: string;
      readonly maxSilenceMs: number;
      /** Everything up to this revocation is applied and the connections concerned are cut. */
      readonly position: number;
      /** What was closed since the last acknowledgement. */
      readonly closed?: CutCounts;
      /** SHA-256 of each root that the feed has named to it: certificates under others it lets nobody in by. */
      readonly roots?: readonly string[];
      /** To questions of the feed. */
      readonly answers?: readonly QuestionAnswer[];
    }
  | { readonly release: true; readonly instance: string };

/** How many of the connections that are open now a revocation would cut. */
export interface QuestionAnswer {
  readonly id: string;
  readonly wouldClose: number;
}

export interface LeaseResponse {
  /** Milliseconds since the Unix epoch, by the authority's clock; 0 once released. */
  readonly expiresAt: number;
  /** Position of the newest revocation. */
  readonly position: number;
}

export const instanceRule = {
  max: 128,
  pattern: /^[A-Za-z0-9._-]{8,128}$/,
  form: '8 to 128 letters, digits, dots, hyphens and underscores',
} as const;

export function parseLeaseRequest(json: unknown): LeaseRequest {
  return readMessage('lease request', json, (m): LeaseRequest => {
    const instance = m.text('instance', instanceRule);
    if (m.flag('release')) return { release: true, instance };
    const closed = m.optional('closed', (name) => readCutCounts(m.object(name)));
    const roots = m.optional('roots', (name) => m.listOfTexts(name, { maxItems: 256, max: 64 }));
    const answers = m.optional('answers', (name) => m.list(name, { maxItems: 64 }, readAnswer));
    return {
      release: false,
      instance,
      maxSilenceMs: m.integer('maxSilenceMs', { min: 1000, max: 7 * 86_400_000 }),
      position: m.integer('position', { min: 0 }),
      ...(closed === undefined ? {} : { closed }),
      ...(roots === undefined ? {} : { roots }),
      ...(answers === undefined ? {} : { answers }),
    };
  });
}

export function formatLeaseRequest(request: LeaseRequest): string {
  if (request.release) return JSON.stringify({ instance: request.instance, release: true });
  const { release: _, ...rest } = request;
  return JSON.stringify(rest);
}

export function parseLeaseResponse(json: unknown): LeaseResponse {
  return readMessage(
    'lease response',
    json,
    (m) => ({
      expiresAt: m.integer('expiresAt', { min: 0 }),
      position: m.integer('position', { min: 0 }),
    }),
    { unknown: 'ignore' },
  );
}

export function formatLeaseResponse(response: LeaseResponse): string {
  return JSON.stringify(response);
}

const maxCodes = 64;

function readAnswer(json: unknown, at: string): QuestionAnswer {
  return readMessage(`lease request ${at}`, json, (m) => ({
    id: m.text('id', questionIdRule),
    wouldClose: m.integer('wouldClose', { min: 0 }),
  }));
}

function readCutCounts(json: unknown): CutCounts {
  return readMessage('lease request closed', json, (m) => {
    const codes = m.optional('codes', (name) => {
      const object = m.object(name);
      const names = Object.keys(object);
      if (names.length > maxCodes) {
        throw m.fail(name, `has ${names.length} codes, at most ${maxCodes} are read`);
      }
      return readMessage('lease request closed codes', object, (c) =>
        Object.fromEntries(names.map((code) => [code, c.integer(code, { min: 0 })])),
      );
    });
    return {
      closed: m.integer('closed', { min: 0 }),
      kept: m.integer('kept', { min: 0 }),
      elapsedMs: m.amount('elapsedMs'),
      ...(codes === undefined ? {} : { codes }),
    };
  });
}
