import type { SubgraphAnswer } from '../execute/response-error.ts';
import { readAnswer } from '../execute/subgraph-answer.ts';
import type { SubgraphClient } from '../subgraph/subgraph-client.ts';
import { type EventRequest, sseEvents } from './sse-source.ts';
import { wsEvents } from './ws-source.ts';

/** The answers that a subgraph gives to a subscription, as it says them. */
export async function* subgraphEvents(
  client: SubgraphClient,
  request: EventRequest,
): AsyncGenerator<SubgraphAnswer> {
  const { protocol } = client.settings.subscriptions;
  const texts = protocol === 'sse' ? sseEvents(client, request) : wsEvents(client, request);
  for await (const text of texts) {
    yield readAnswer(text) ?? {
      data: null,
      errors: [{ message: 'an event that is no GraphQL response' }],
    };
  }
}
