import type { Clock } from '@countersign/base';
import { LruCache } from '../operation/lru-cache.ts';
import type { SubgraphResponse } from './send-request.ts';

/** Nothing is kept for longer, whatever a subgraph says. */
const longestMs = 24 * 3_600_000;
const maxEntries = 100_000;

/**
 * Answers of subgraphs for as long as their `cache-control` says (RFC 9111). The key has the caller in it, so that each
 * identity has a cache of its own, and nobody gets what was answered to another.
 */
export class AnswerCache {
  readonly #entries: LruCache<{ readonly text: string; readonly until: number }>;
  readonly #clock: Clock;

  constructor(maxBytes: number, clock: Clock) {
    this.#entries = new LruCache(maxEntries, maxBytes);
    this.#clock = clock;
  }

  get(key: string): string | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (this.#clock.now() < entry.until) return entry.text;
    this.#entries.delete(key);
    return undefined;
  }

  /** @param isStranger whether nobody knows who asked: what is private is not kept then */
  put(key: string, response: SubgraphResponse, isStranger: boolean): void {
    const ms = freshMs(response, isStranger);
    if (ms === 0 || response.text.includes('"errors"')) return;
    // Two octets a character is what a string may take.
    const size = 2 * (key.length + response.text.length);
    this.#entries.set(key, { text: response.text, until: this.#clock.now() + ms }, size);
  }
}

// RFC 9111 §5.2.2: what forbids keeping wins over what allows it.
function freshMs({ status, cacheControl }: SubgraphResponse, isStranger: boolean): number {
  if (status !== 200 || cacheControl === undefined) return 0;
  const directives = cacheControl
    .toLowerCase()
    .split(',')
    .map((each) => each.trim());
  if (directives.some((each) => each === 'no-store' || each.startsWith('no-cache'))) return 0;
  if (isStranger && directives.some((each) => each.startsWith('private'))) return 0;
  const age = directives.find((each) => each.startsWith('max-age='))?.slice('max-age='.length);
  const seconds = age !== undefined && /^\d{1,9}$/.test(age) ? Number(age) : 0;
  return Math.min(seconds * 1000, longestMs);
}
