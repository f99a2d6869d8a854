import { CountersignError } from '@countersign/base';
import { readAnswer } from '../execute/subgraph-answer.ts';
import type { SubgraphClient } from './subgraph-client.ts';
import { subgraphHeaders } from './subgraph-headers.ts';

/** What a subgraph says of itself (Federation subgraph specification, `_service`). */
export async function fetchSdl(client: SubgraphClient): Promise<string> {
  const { name, url } = client.settings;
  const attempted = `fetch the SDL of subgraph "${name}" at "${url}"`;
  const outcome = await client.send({
    body: JSON.stringify({ query: '{ _service { sdl } }' }),
    headers: subgraphHeaders(client.settings, {}),
    isRepeatable: true,
    signal: undefined,
    report: () => '',
  });
  if (!outcome.ok) {
    const { code, detail, fields } = outcome.failure;
    throw new CountersignError(code, `${attempted}: ${detail}`, { fields });
  }
  const answer = readAnswer(outcome.response.text);
  const { sdl } = Object(answer?.data?._service) as { readonly sdl?: unknown };
  if (typeof sdl === 'string') return sdl;
  const reason = answer?.errors[0]?.message ?? 'it has no "_service { sdl }"';
  throw new CountersignError('ERR_ROUTER_SUPERGRAPH', `${attempted}: ${reason}`);
}
