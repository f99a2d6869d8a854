import { hash } from 'node:crypto';
import type { RateLimitModel } from '../model/rate-limit-model.ts';

export interface Taken {
  readonly ok: boolean;
  /** Whole requests that are left now. */
  readonly remaining: number;
  /** Until there is one more; of a refusal, until the next is let through. */
  readonly waitMs: number;
}

interface Bucket {
  tokens: number;
  at: number;
}

/** Of longer keys, which a header can make of any length, a digest is kept. */
const longestKey = 64;

/**
 * A bucket for each key, of at most `maxKeys`. Of more keys the one that was not used for the longest time is forgotten
 * once it is full again, which changes nothing; before that a further key shares one bucket with all that are too many, so
 * that whoever makes up keys neither fills memory nor frees a caller of its limit.
 */
export class TokenBuckets {
  readonly #model: RateLimitModel;
  /** Least recently used first. */
  readonly #buckets = new Map<string, Bucket>();
  readonly #crowd: Bucket;

  constructor(model: RateLimitModel) {
    this.#model = model;
    this.#crowd = { tokens: model.burst, at: 0 };
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** As they are kept. */
  keys(): Iterable<string> {
    return this.#buckets.keys();
  }

  /** @param now milliseconds, never going back */
  take(key: string, now: number): Taken {
    const bucket = this.#bucketOf(keptOf(key), now);
    this.#fill(bucket, now);
    const ok = bucket.tokens >= 1;
    if (ok) bucket.tokens -= 1;
    const { requests, perMs } = this.#model;
    const missing = 1 - (bucket.tokens - Math.floor(bucket.tokens));
    return {
      ok,
      remaining: Math.floor(bucket.tokens),
      waitMs: ((ok ? missing : 1 - bucket.tokens) * perMs) / requests,
    };
  }

  /** What was taken and not used, since another limit refused. */
  giveBack(key: string): void {
    const bucket = this.#buckets.get(keptOf(key)) ?? this.#crowd;
    bucket.tokens = Math.min(this.#model.burst, bucket.tokens + 1);
  }

  #bucketOf(key: string, now: number): Bucket {
    const known = this.#buckets.get(key);
    if (known !== undefined) {
      this.#buckets.delete(key);
      this.#buckets.set(key, known);
      return known;
    }
    if (this.#buckets.size >= this.#model.maxKeys && !this.#forgetOne(now)) return this.#crowd;
    const bucket = { tokens: this.#model.burst, at: now };
    this.#buckets.set(key, bucket);
    return bucket;
  }

  #forgetOne(now: number): boolean {
    const [oldest] = this.#buckets;
    if (oldest === undefined) return false;
    const [key, bucket] = oldest;
    this.#fill(bucket, now);
    if (bucket.tokens < this.#model.burst) return false;
    return this.#buckets.delete(key);
  }

  #fill(bucket: Bucket, now: number): void {
    const { requests, perMs, burst } = this.#model;
    const earned = ((now - bucket.at) * requests) / perMs;
    bucket.tokens = Math.min(burst, bucket.tokens + Math.max(0, earned));
    bucket.at = now;
  }
}

function keptOf(key: string): string {
  return key.length <= longestKey ? key : hash('sha256', key, 'base64url');
}
