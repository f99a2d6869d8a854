import {
  type Clock,
  CountersignError,
  denial,
  type ErrorCode,
  type Log,
  messageOf,
} from '@countersign/base';
import { parseBundleDocument } from '@countersign/spiffe';
import type { AgentFrame, RegisteredEntry } from '@countersign/wire';
import type { BundleBook } from '../svids/bundle-book.ts';
import type { SvidKeeper } from '../svids/svid-keeper.ts';
import { type Entry, makeEntry } from './entry.ts';
import type { EntryBook } from './entry-book.ts';

export type WatchAgent = (options: { readonly signal: AbortSignal }) => AsyncIterable<AgentFrame>;

export interface FollowAuthorityOptions {
  readonly watch: WatchAgent;
  readonly book: EntryBook;
  readonly bundles: BundleBook;
  readonly keeper: SvidKeeper;
  /** From 0 to below 1, for jitter. */
  readonly random: () => number;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** The authority speaks every five seconds. */
const longestSilenceMs = 20_000;
const firstWaitMs = 250;
const longestWaitMs = 15_000;

/** What the authority says of a certificate that does not speak for the agent any more. */
const meansEviction: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ERR_API_CERTIFICATE_REVOKED',
  'ERR_API_CERTIFICATE_UNKNOWN',
  'ERR_PEER_REVOKED',
]);

/**
 * Takes over what the authority says of the agent's entries and of the bundle, as it says it, until the signal. While it
 * is away everything stays as it was; where it has turned the agent away, everybody's identity ends.
 */
export async function followAuthority(options: FollowAuthorityOptions): Promise<void> {
  const { keeper, random, clock, log, signal } = options;
  let failuresInRow = 0;
  while (!signal.aborted) {
    try {
      await readWatch(options, () => {
        failuresInRow = 0;
        keeper.readmit();
      });
    } catch (thrown) {
      if (signal.aborted) return;
      const code = thrown instanceof CountersignError ? thrown.code : 'ERR_INTERNAL';
      if (meansEviction.has(code)) keeper.evict(denial(code, messageOf(thrown)));
      if (failuresInRow > 0) log.warn({ code }, `entries not followed: ${messageOf(thrown)}`);
    }
    // What was cut a moment ago is asked for again at once: the answer says why it was.
    if (failuresInRow > 0) {
      const ceiling = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(failuresInRow, 20));
      const waitMs = ceiling * (0.5 + 0.5 * random());
      await clock.sleep(waitMs, { signal, ref: false }).catch(() => {});
    }
    failuresInRow += 1;
  }
}

async function readWatch(options: FollowAuthorityOptions, heard: () => void): Promise<void> {
  const { watch, clock } = options;
  const silence = new AbortController();
  const signal = AbortSignal.any([options.signal, silence.signal]);
  let heardAt = clock.monotonic();
  const over = new AbortController();
  void (async function endSilence() {
    while (!over.signal.aborted) {
      const leftMs = heardAt + longestSilenceMs - clock.monotonic();
      if (leftMs <= 0) return silence.abort(new Error(`silent for ${longestSilenceMs} ms`));
      await clock.sleep(leftMs, { signal: over.signal, ref: false }).catch(() => {});
    }
  })();
  try {
    for await (const frame of watch({ signal })) {
      heardAt = clock.monotonic();
      heard();
      apply(frame, options);
    }
  } finally {
    over.abort();
  }
}

function apply(frame: AgentFrame, { book, bundles, log }: FollowAuthorityOptions): void {
  if (frame.type === 'bundle') {
    bundles.put(parseBundleDocument(JSON.stringify(frame.bundle), bundles.trustDomain));
  }
  if (frame.type !== 'entries') return;
  const entries = frame.entries.flatMap((entry) => readEntry(entry, log) ?? []);
  book.replace('authority', entries);
  log.info({ version: frame.version, entries: entries.length }, 'entries of the authority');
}

/** One that this version cannot match takes nobody else's identity away. */
function readEntry({ agent: _, ...entry }: RegisteredEntry, log: Log): Entry | undefined {
  try {
    return makeEntry(entry);
  } catch (thrown) {
    log.error({ entry: entry.id }, `entry not used: ${messageOf(thrown)}`);
    return undefined;
  }
}
