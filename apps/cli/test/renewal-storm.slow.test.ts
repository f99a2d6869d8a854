import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Clock, noLog, noMeter } from '@countersign/base';
import { IssueQueue, type Seat } from '@countersign/ca';
import { renewalTime, retryWaitMs, turnWaitMs } from '@countersign/identity';

const workloads = 100_000;
const minute = 60_000;
const hour = 60 * minute;
/** All of them are due when the outage ends, and some end two minutes later. */
const lifetimeMs = 3.4 * hour;
const outageMs = 2 * hour;
/** As of `startRotation`. */
const schedule = { fraction: 0.5, jitter: 0.1 };
const backoff = { minMs: 1000, maxMs: 300_000 };

interface Figures {
  /** Attempts in the busiest second after the outage. */
  readonly peakPerSecond: number;
  readonly sentAway: number;
  readonly mostOfOne: number;
  readonly lapsed: number;
  readonly allMs: number;
  /** What of its lifetime the one that was latest had left. */
  readonly leastLeftMs: number;
}

/**
 * Every workload by the schedule of the library, the authority by its own queue; the time is nobody's. All certificates
 * were issued within half of their lifetime before the outage, evenly.
 */
async function afterOutage(options: {
  /** Certificates a second that the authority issues. */
  readonly pace: number;
  readonly seed: number;
  /** All workloads come in the second after the outage, whatever their schedule. */
  readonly atOnce?: boolean;
}): Promise<Figures> {
  const random = randomOf(options.seed);
  let now = 0;
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    // Only what is told of the storm waits for its time, and nothing here reads it.
    sleep: () => new Promise(() => {}),
  };
  const queue = new IssueQueue({ clock, log: noLog, meter: noMeter, random });
  const events = new Agenda();
  const figures = { peakPerSecond: 0, sentAway: 0, mostOfOne: 0, lapsed: 0, allMs: 0 };
  let leastLeftMs = Number.POSITIVE_INFINITY;
  const inSecond = new Map<number, number>();
  let counterFreeAt = outageMs;

  for (let i = 0; i < workloads; i += 1) {
    const notAfter = lifetimeMs - random() * lifetimeMs * (schedule.fraction - schedule.jitter);
    let at = renewalTime({ from: notAfter - lifetimeMs, notAfter }, schedule, random);
    let failures = 0;
    // While the authority is away: what each attempt costs is a wait.
    while (at < outageMs) {
      failures += 1;
      at += retryWaitMs(failures, notAfter - at, backoff, random);
    }
    if (options.atOnce === true) at = outageMs + 1000 * random();
    comeAt(String(i), at, notAfter, 0);
  }

  function comeAt(key: string, at: number, endsAt: number, away: number): void {
    events.add(at, async () => {
      const second = Math.floor(now / 1000);
      inSecond.set(second, (inSecond.get(second) ?? 0) + 1);
      if (now > endsAt) {
        figures.lapsed += 1;
        return;
      }
      const answer = await queue.enter({ key, endsAt });
      if (answer.ok) return serve(answer, endsAt);
      figures.sentAway += 1;
      figures.mostOfOne = Math.max(figures.mostOfOne, away + 1);
      const toldMs = Number(answer.fields.retryAfterS) * 1000;
      comeAt(key, now + turnWaitMs(toldMs, endsAt - now, random), endsAt, away + 1);
    });
  }

  function serve(seat: Seat, endsAt: number): void {
    counterFreeAt = Math.max(counterFreeAt, now) + 1000 / options.pace;
    events.add(counterFreeAt, async () => {
      seat.leave();
      if (now > endsAt) figures.lapsed += 1;
      leastLeftMs = Math.min(leastLeftMs, endsAt - now);
      figures.allMs = now - outageMs;
    });
  }

  for (let next = events.take(); next !== undefined; next = events.take()) {
    now = next.at;
    const done = next.run();
    // Whoever waits in line is not waited for; whoever got a seat is heard of within these turns.
    void done;
    for (let turn = 0; turn < 4; turn += 1) await undefined;
  }
  const peakPerSecond = Math.max(...inSecond.values());
  return { ...figures, peakPerSecond, leastLeftMs };
}

test('100,000 workloads whose authority was away for two hours all renew before their certificates end', async (t) => {
  for (const pace of [700, 300]) {
    const figures = await afterOutage({ pace, seed: pace });
    t.diagnostic(JSON.stringify({ pace, ...figures }));
    assert.equal(figures.lapsed, 0);
    // Backed off by then, they come no faster than over some minutes.
    assert.ok(figures.peakPerSecond < 1500, `${figures.peakPerSecond} in a second`);
    assert.ok(figures.mostOfOne <= 3, `one was sent away ${figures.mostOfOne} times`);
    // Not much longer than the work takes, or than they have backed off.
    assert.ok(figures.allMs < Math.max(1.3 * (workloads / pace) * 1000, 330_000));
  }
});

test('and also where all of them come within a second: each is sent away once or twice, and gets its turn', async (t) => {
  const figures = await afterOutage({ pace: 700, seed: 1, atOnce: true });
  t.diagnostic(JSON.stringify(figures));
  assert.equal(figures.lapsed, 0);
  assert.ok(figures.mostOfOne <= 3, `one was sent away ${figures.mostOfOne} times`);
  assert.ok(figures.sentAway < 1.2 * workloads, `${figures.sentAway} were sent away`);
  assert.ok(figures.allMs < 1.3 * (workloads / 700) * 1000);
});

/** What happens when, in order: a binary heap. */
class Agenda {
  readonly #heap: { readonly at: number; readonly run: () => Promise<void> }[] = [];

  add(at: number, run: () => Promise<void>): void {
    const heap = this.#heap;
    let i = heap.push({ at, run }) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (this.#atOf(parent) <= this.#atOf(i)) return;
      this.#swap(i, parent);
      i = parent;
    }
  }

  take() {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    heap[0] = last;
    for (let i = 0; ; ) {
      const [left, right] = [2 * i + 1, 2 * i + 2];
      const least = this.#atOf(right) < this.#atOf(left) ? right : left;
      if (this.#atOf(least) >= this.#atOf(i)) return first;
      this.#swap(i, least);
      i = least;
    }
  }

  #atOf(i: number): number {
    return this.#heap[i]?.at ?? Number.POSITIVE_INFINITY;
  }

  #swap(i: number, j: number): void {
    const [a, b] = [this.#heap[i], this.#heap[j]];
    if (a === undefined || b === undefined) throw new RangeError('outside of the heap');
    this.#heap[i] = b;
    this.#heap[j] = a;
  }
}

/** The same numbers for the same seed: mulberry32. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
