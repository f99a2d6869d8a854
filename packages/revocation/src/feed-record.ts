import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { type Clock, CountersignError, messageOf, writeFileDurably } from '@countersign/base';
import {
  type FeedFrame,
  formatFeedFrame,
  LineSplitter,
  maxFrameBytes,
  parseFeedLine,
} from '@countersign/wire';
import { compactFrames } from './compact-record.ts';
import { RevokedSet } from './revoked-set.ts';

/**
 * The feed as it was received, in a file, so that a restarted edge knows the last set while the authority is down.
 *
 * Format: feed frames, a line each: a hello where the anchors changed, every revocation, and heartbeats, whose `at` is
 * here the moment (by this machine's clock) until which the set up to `position` may be used without further news.
 *
 * Durable when {@link append} resolved. A crash in between leaves a part of a line at the end, which the next start
 * drops. Opening replays the frames through the same checks as the feed itself, so that what was lost, doubled or added
 * in the middle is found. Owned by one process at a time. 0600: who writes it decides who is believed to be revoked.
 *
 * It holds no more than is needed: opening drops what has ended, and so does the record whenever it has doubled.
 */
export class FeedRecord {
  readonly #path: string;
  readonly #options: RecordOptions;
  #file: FileHandle;
  #bytes: number;
  #boundBytes: number;
  #waiting: string[] = [];
  #writing: Promise<void> | undefined;

  private constructor(path: string, file: FileHandle, bytes: number, options: RecordOptions) {
    this.#path = path;
    this.#options = options;
    this.#file = file;
    this.#bytes = bytes;
    this.#boundBytes = boundOf(bytes, options);
  }

  /**
   * Opens the file, or makes it, and replays what it has. All heartbeats but the last are dropped on the way, and what
   * has ended.
   *
   * @throws CountersignError ERR_REVOCATION_STATE where the file cannot be read or written at all
   */
  static async open(path: string, options: RecordOptions): Promise<OpenedRecord> {
    try {
      const replayed = replay(await contentOf(path), options.clock.now());
      const text = replayed.lines.join('');
      await writeFileDurably(path, text, { mode: 0o600 });
      const file = await open(path, 'a', 0o600);
      return { ...replayed, record: new FeedRecord(path, file, text.length, options) };
    } catch (thrown) {
      throw failed(`open revocation state "${path}"`, path, thrown);
    }
  }

  /** In order of the calls; those that come while a write is under way share the next one. */
  async append(...frames: readonly FeedFrame[]): Promise<void> {
    this.#waiting.push(...frames.map(formatFeedFrame));
    const before = this.#writing ?? Promise.resolve();
    this.#writing = before.then(() => this.#write());
    await this.#writing;
  }

  /**
   * Takes the file away: one that lacks a revocation would vouch at the next start for whom that names.
   *
   * @throws CountersignError ERR_REVOCATION_STATE where the file is still there
   */
  static async remove(path: string): Promise<void> {
    await rm(path, { force: true }).catch((thrown: unknown) => {
      throw failed(`remove revocation state "${path}"`, path, thrown);
    });
  }

  /** Ends as {@link close}, and as {@link FeedRecord.remove}. */
  async discard(): Promise<void> {
    await this.close().catch(() => {});
    await FeedRecord.remove(this.#path);
  }

  async close(): Promise<void> {
    await this.#writing?.catch(() => {});
    await this.#file.close();
  }

  async #write(): Promise<void> {
    const lines = this.#waiting;
    if (lines.length === 0) return;
    this.#waiting = [];
    try {
      const text = lines.join('');
      await this.#file.appendFile(text);
      await this.#file.datasync();
      this.#bytes += text.length;
      if (this.#bytes > this.#boundBytes) await this.#compact();
    } catch (thrown) {
      throw failed(`write revocation state "${this.#path}"`, this.#path, thrown);
    }
  }

  /** In one step: killed at any moment, the file is the old one or the new one. */
  async #compact(): Promise<void> {
    const { damaged, lines } = replay(await readFile(this.#path), this.#options.clock.now());
    if (damaged !== undefined) throw new Error(damaged);
    const text = lines.join('');
    await writeFileDurably(this.#path, text, { mode: 0o600 });
    const before = this.#file;
    this.#file = await open(this.#path, 'a', 0o600);
    await before.close();
    this.#bytes = text.length;
    this.#boundBytes = boundOf(text.length, this.#options);
  }
}

export interface RecordOptions {
  readonly clock: Pick<Clock, 'now'>;
  /** It is compacted when it has doubled, and is larger than this. Default 1 MiB. */
  readonly compactAtBytes?: number;
}

function boundOf(bytes: number, { compactAtBytes = 1 << 20 }: RecordOptions): number {
  return Math.max(compactAtBytes, 2 * bytes);
}

interface Replayed {
  readonly set: RevokedSet;
  /** Until when the set may be used without further news, by this machine's clock; undefined if never. */
  readonly freshUntil: number | undefined;
  /** Why the content was of no use; the record is then empty, as on the first start. */
  readonly damaged: string | undefined;
  /** What is worth keeping of the content. */
  readonly lines: readonly string[];
}

export interface OpenedRecord extends Replayed {
  readonly record: FeedRecord;
}

async function contentOf(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return new Uint8Array();
    throw thrown;
  }
}

function replay(content: Uint8Array, now: number): Replayed {
  const set = new RevokedSet();
  const frames: FeedFrame[] = [];
  let freshUntil: number | undefined;
  try {
    // What has no line feed was being written when the process ended: it was never acknowledged.
    const whole = content.subarray(0, content.lastIndexOf(0x0a) + 1);
    for (const line of new LineSplitter(maxFrameBytes).push(whole)) {
      const frame = parseFeedLine(line);
      if (frame.type === 'heartbeat') {
        checkStated(frame.position, set.position);
        freshUntil = frame.at;
        continue;
      }
      // Nobody is asked any more.
      if (frame.type === 'question') continue;
      // A hello is kept as of the position it was written at.
      if (frame.type === 'hello') set.greet(frame);
      else if (frame.type === 'covered') set.cover(frame);
      else set.apply(frame);
      frames.push(frame);
    }
  } catch (thrown) {
    const damaged = messageOf(thrown);
    return { set: new RevokedSet(), freshUntil: undefined, damaged, lines: [] };
  }
  set.forget(now);
  const lines = compactFrames(frames, now).map(formatFeedFrame);
  if (freshUntil !== undefined) {
    // Revocations that came after it do not make the set older.
    lines.push(formatFeedFrame({ type: 'heartbeat', position: set.position, at: freshUntil }));
  }
  return { set, freshUntil, damaged: undefined, lines };
}

function checkStated(stated: number, applied: number): void {
  if (stated === applied) return;
  throw new CountersignError(
    'ERR_REVOCATION_STATE',
    `heartbeat states position ${stated}, the revocations before it end at ${applied}`,
    { fields: { stated, applied } },
  );
}

function failed(attempted: string, path: string, thrown: unknown): CountersignError {
  return new CountersignError('ERR_REVOCATION_STATE', `${attempted}: ${messageOf(thrown)}`, {
    fields: { path },
    hint: 'check that its directory exists, can be written and is not full',
    cause: thrown,
  });
}
