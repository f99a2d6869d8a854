import { CountersignError, messageOf } from '@countersign/base';
import { WebSocket } from 'ws';
import type { SubgraphClient } from '../subgraph/subgraph-client.ts';
import type { EventRequest } from './sse-source.ts';

/** Longest message that is taken, in octets. */
const maxPayload = 4 * 1024 * 1024;

/**
 * The events of a subscription that a subgraph serves over a WebSocket, by the protocol `graphql-transport-ws`, on an
 * mTLS connection of its own that is dialled like all others.
 *
 * @throws CountersignError ERR_SUBGRAPH_RESPONSE, and what dialling throws
 */
export async function* wsEvents(
  client: SubgraphClient,
  { body, headers, signal }: EventRequest,
): AsyncGenerator<string> {
  const socket = await client.dial(signal);
  const { url, subscriptions } = client.settings;
  const named: Record<string, string> = {};
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? '';
    if (name !== 'content-type' && name !== 'accept') named[name] = headers[i + 1] ?? '';
  }
  const ws = new WebSocket(`ws://${url.host}${subscriptions.path}`, 'graphql-transport-ws', {
    ...{ headers: named, maxPayload, perMessageDeflate: false },
    createConnection: () => socket,
  });
  const stop = () => ws.terminate();
  signal.addEventListener('abort', stop, { once: true });
  const waiting = new Waiting();
  ws.on('open', () => ws.send('{"type":"connection_init"}'));
  ws.on('error', (thrown) => waiting.fail(broke(messageOf(thrown))));
  ws.on('close', (code, reason) => {
    if (signal.aborted) waiting.end();
    else waiting.fail(broke(`the WebSocket was closed with ${code} ${String(reason)}`));
  });
  ws.on('message', (raw) => {
    const { type, payload } = readMessage(String(raw));
    if (type === 'connection_ack') ws.send(`{"id":"1","type":"subscribe","payload":${body}}`);
    else if (type === 'ping') ws.send('{"type":"pong"}');
    else if (type === 'next') waiting.push(JSON.stringify(payload));
    else if (type === 'error') {
      waiting.push(JSON.stringify({ errors: payload }));
      waiting.end();
    } else if (type === 'complete') waiting.end();
  });
  try {
    yield* waiting.events();
  } finally {
    signal.removeEventListener('abort', stop);
    ws.removeAllListeners('close');
    ws.close(1000);
    ws.terminate();
  }
}

/** What has come and was not taken yet. Bounded by the wait of the sender's TCP window, for taking is what reads on. */
class Waiting {
  readonly #texts: string[] = [];
  #failure: Error | undefined;
  #isOver = false;
  #wake: () => void = () => {};

  push(text: string): void {
    if (this.#texts.length >= 1000) this.fail(broke('1,000 events were not taken in time'));
    else this.#texts.push(text);
    this.#wake();
  }

  fail(thrown: Error): void {
    this.#failure ??= thrown;
    this.end();
  }

  end(): void {
    this.#isOver = true;
    this.#wake();
  }

  async *events(): AsyncGenerator<string> {
    while (true) {
      const text = this.#texts.shift();
      if (text !== undefined) yield text;
      else if (this.#failure !== undefined) throw this.#failure;
      else if (this.#isOver) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

function readMessage(text: string): { readonly type?: string; readonly payload?: unknown } {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

function broke(reason: string): CountersignError {
  return new CountersignError('ERR_SUBGRAPH_RESPONSE', reason);
}
