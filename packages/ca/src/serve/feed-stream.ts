import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { type Denial, messageOf } from '@countersign/base';
import { feedDialect, formatFeedFrame, type HelloFrame, routes } from '@countersign/wire';
import type { FeedHub, FeedSeat } from './feed-hub.ts';
import { cursorAt } from './feed-pages.ts';

export interface FeedStream {
  readonly hub: FeedHub;
  readonly seat: FeedSeat;
  readonly response: ServerResponse;
  /** The reader has everything up to it. */
  readonly after: number;
  readonly hello: Omit<HelloFrame, 'type' | 'heartbeatMs'>;
  /** Asked before anything is sent: certificates end while streams are open. */
  readonly stillAllowed: () => Denial | undefined;
}

/**
 * One reader's stream, from hello to its end: the backlog after the cursor, then each revocation as it is committed, and
 * a heartbeat when nothing else was sent. Frames come in order and once; the reader's pace is respected, within limits.
 */
export async function streamRevocations(stream: FeedStream): Promise<void> {
  const { hub, seat, response } = stream;
  const { signal } = seat;
  response.once('close', () => seat.leave());
  response.writeHead(200, {
    'content-type': routes.feed.answer,
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  try {
    // 1. who speaks, and how far there is to go
    const { heartbeatMs } = hub;
    await send(stream, formatFeedFrame({ type: 'hello', ...stream.hello, heartbeatMs }));
    let cursor = cursorAt(stream.after);
    let beatIsDue = false;
    let asked: ReadonlySet<string> = new Set();
    while (!signal.aborted) {
      // 2. may it still read; and a heartbeat would vouch for what a ledger that is away may have by now
      const refused = stream.stillAllowed() ?? hub.unwell;
      if (refused !== undefined) {
        hub.log.info({ code: refused.code }, `feed ended: ${refused.detail}`);
        break;
      }
      // 3. what is committed; noted first, so that a commit while reading is not slept through
      const rings = hub.commits.rings;
      const page = await hub.page(cursor, seat.dialect);
      if (page.lines !== '') {
        await send(stream, page.lines);
        cursor = page.next;
        beatIsDue = false;
        continue;
      }
      // 4. what is asked of those who understand it
      asked = await ask(stream, asked);
      // 5. nothing more: a heartbeat where one is due, else until the next commit or the next heartbeat
      if (beatIsDue) {
        const { position } = cursor;
        const heartbeat = { type: 'heartbeat', position, at: hub.clock.now() } as const;
        await send(stream, formatFeedFrame(heartbeat));
      }
      await hub.commits.wait(rings, heartbeatMs, hub.clock, signal);
      beatIsDue = hub.commits.rings === rings;
    }
    response.end();
  } catch (thrown) {
    // The reader is gone, too slow, or the ledger failed: it comes back with its cursor.
    if (!signal.aborted) hub.log.warn({ error: messageOf(thrown) }, 'feed stream broke');
    response.destroy();
  } finally {
    seat.leave();
  }
}

/** Each question once, while it is open. @returns those that are */
async function ask(stream: FeedStream, asked: ReadonlySet<string>): Promise<ReadonlySet<string>> {
  const { hub, seat } = stream;
  const open = new Set<string>();
  if (seat.dialect < feedDialect) return open;
  for (const { id, lines } of [...hub.questions.of(seat.holder, seat.instance)]) {
    open.add(id);
    if (!asked.has(id)) await send(stream, lines);
  }
  return open;
}

async function send({ hub, seat, response }: FeedStream, lines: string): Promise<void> {
  // Gone before anybody listened for it.
  if (response.destroyed) return seat.leave();
  if (response.write(lines)) return;
  const over = new AbortController();
  const tooSlow = hub.clock
    .sleep(hub.slowReaderMs, { signal: over.signal, ref: false })
    .then(() => Promise.reject(new Error(`reader took nothing for ${hub.slowReaderMs} ms`)));
  try {
    const signal = AbortSignal.any([over.signal, seat.signal]);
    await Promise.race([once(response, 'drain', { signal }), tooSlow]);
  } finally {
    tooSlow.catch(() => {});
    over.abort();
  }
}
