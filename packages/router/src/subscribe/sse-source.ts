import { CountersignError } from '@countersign/base';
import type { ReportFailure, SubgraphClient } from '../subgraph/subgraph-client.ts';

export interface EventRequest {
  readonly body: string;
  /** Names and values alternating. */
  readonly headers: readonly string[];
  readonly signal: AbortSignal;
  readonly report: ReportFailure;
}

/** Longest event that is taken, in characters. */
const maxEventChars = 4 * 1024 * 1024;

/**
 * The events of a subscription that a subgraph serves as GraphQL over SSE, distinct connections mode: the text of each
 * `next` until `complete`.
 *
 * @throws CountersignError ERR_SUBGRAPH_RESPONSE, and what dialling throws
 */
export async function* sseEvents(
  client: SubgraphClient,
  { body, headers, signal }: EventRequest,
): AsyncGenerator<string> {
  const { path } = client.settings.subscriptions;
  const response = await client.dispatcher().request({
    ...{ method: 'POST', path, body, signal, bodyTimeout: 0 },
    headers: withAccept(headers),
  });
  const type = String(response.headers['content-type'] ?? '');
  if (response.statusCode !== 200 || !type.startsWith('text/event-stream')) {
    response.body.destroy();
    const sides = `answered ${response.statusCode} with "${type}", text/event-stream is expected`;
    throw new CountersignError('ERR_SUBGRAPH_RESPONSE', sides);
  }
  response.body.setEncoding('utf8');
  let left = '';
  for await (const chunk of response.body) {
    left += String(chunk);
    if (left.length > maxEventChars) {
      throw new CountersignError(
        'ERR_SUBGRAPH_RESPONSE',
        `event of more than ${maxEventChars} characters`,
      );
    }
    const events = left.split(/\r?\n\r?\n/);
    left = events.pop() ?? '';
    for (const event of events) {
      const { name, data } = readEvent(event);
      if (name === 'complete') return;
      if (name === 'next' && data !== '') yield data;
    }
  }
}

// HTML §9.2.6: fields by line; several data lines are one text.
function readEvent(text: string): { readonly name: string; readonly data: string } {
  let name = 'message';
  const data: string[] = [];
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('event:')) name = line.slice(6).trim();
    if (line.startsWith('data:')) data.push(line.slice(5).replace(/^ /, ''));
  }
  return { name, data: data.join('\n') };
}

function withAccept(headers: readonly string[]): string[] {
  const all = [...headers];
  all[all.indexOf('accept') + 1] = 'text/event-stream';
  return all;
}
