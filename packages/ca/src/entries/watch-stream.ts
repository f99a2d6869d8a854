import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { messageOf } from '@countersign/base';
import { formatBundleDocument, type VerifiedPeer } from '@countersign/spiffe';
import { formatAgentFrame, routes } from '@countersign/wire';
import type { ApiContext } from '../serve/api-context.ts';
import { expiryOf } from '../serve/authorize-caller.ts';
import { Bell } from '../serve/bell.ts';

export interface AgentStream {
  readonly context: ApiContext;
  /** Its SPIFFE ID. */
  readonly agent: string;
  readonly peer: VerifiedPeer;
  readonly response: ServerResponse;
}

const heartbeatMs = 5000;
const slowReaderMs = 10_000;
/** Between two looks for what other processes changed, and at the bundle. */
const lookMs = 150;

/**
 * Tells an agent its entries and the bundle, and again whenever they change, until its certificate ends or is revoked:
 * then the connection is cut like every other of that peer.
 */
export async function streamToAgent(stream: AgentStream): Promise<void> {
  const { context, agent, peer, response } = stream;
  const { authority, clock, log } = context;
  const news = new Bell();
  const unsubscribe = authority.entries.onChange(() => news.ring());
  const over = new AbortController();
  response.once('close', () => over.abort());
  response.writeHead(200, {
    'content-type': routes.agentWatch.answer,
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  let toldEntries: string | undefined;
  let toldBundle: string | undefined;
  let spokeAt = clock.monotonic();
  try {
    while (!over.signal.aborted && !context.closing()) {
      // 1. may it still read
      if (expiryOf(peer, clock.now()) !== undefined) break;
      // 2. what changed; noted first, so that a change while reading is not slept through
      const { rings } = news;
      const { version, entries } = await authority.entries.inForce();
      const own = entries.filter((entry) => entry.agent === agent);
      const text = JSON.stringify(own);
      const bundle = formatBundleDocument(authority.bundle());
      const frames: string[] = [];
      if (bundle !== toldBundle) {
        frames.push(formatAgentFrame({ type: 'bundle', bundle: JSON.parse(bundle) }));
      }
      if (text !== toldEntries) {
        frames.push(formatAgentFrame({ type: 'entries', version, entries: own }));
      }
      toldEntries = text;
      toldBundle = bundle;
      if (frames.length === 0 && clock.monotonic() - spokeAt >= heartbeatMs) {
        frames.push(formatAgentFrame({ type: 'heartbeat' }));
      }
      if (frames.length > 0) {
        spokeAt = clock.monotonic();
        await send(stream, frames.join(''));
      }
      // 3. until there is something to look at again
      await news.wait(rings, lookMs, clock, over.signal);
    }
    response.end();
  } catch (thrown) {
    if (!over.signal.aborted) log.warn({ error: messageOf(thrown), agent }, 'agent stream broke');
    response.destroy();
  } finally {
    unsubscribe();
  }
}

async function send({ context, response }: AgentStream, text: string): Promise<void> {
  if (response.destroyed || response.write(text)) return;
  const over = new AbortController();
  const tooSlow = context.clock
    .sleep(slowReaderMs, { signal: over.signal, ref: false })
    .then(() => Promise.reject(new Error(`reader took nothing for ${slowReaderMs} ms`)));
  try {
    await Promise.race([once(response, 'drain', { signal: over.signal }), tooSlow]);
  } finally {
    tooSlow.catch(() => {});
    over.abort();
  }
}
