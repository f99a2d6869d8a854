import { CountersignError, messageOf } from '@countersign/base';
import type { RouterConfig } from '../config/router-config.ts';
import { readAnswer } from '../execute/subgraph-answer.ts';
import type { SubgraphClient } from '../subgraph/subgraph-client.ts';
import { subgraphHeaders } from '../subgraph/subgraph-headers.ts';
import { readSupergraph, type Supergraph } from './supergraph.ts';

export interface SupergraphSources {
  readonly config: RouterConfig;
  /** Reads a file that the configuration names. */
  readonly readText: (path: string) => Promise<string>;
  /** Of the subgraphs of the configuration, for those that are asked for their SDL. */
  readonly clientOf: (name: string) => SubgraphClient;
}

/**
 * The supergraph that the configuration means: of its file, or composed from the SDL of every subgraph, which is a
 * file's or its own word.
 *
 * @throws CountersignError ERR_ROUTER_SUPERGRAPH
 */
export async function loadSupergraph(sources: SupergraphSources): Promise<Supergraph> {
  const { config, readText } = sources;
  const { supergraph } = config;
  if (supergraph !== undefined)
    return readSupergraph(await readFileOf(readText, supergraph), supergraph);
  const subgraphs = await Promise.all(
    config.subgraphs.map(async ({ name, url = '', schema }) => {
      const from = schema ?? `subgraph "${name}"`;
      const sdl =
        schema === undefined
          ? await fetchSdl(sources.clientOf(name))
          : await readFileOf(readText, schema);
      return { name, url, sdl, from };
    }),
  );
  // Composition is a large piece of code that most routers, which have a supergraph's file, do not need.
  const { composeSupergraph } = await import('./compose-supergraph.ts');
  return readSupergraph(composeSupergraph(subgraphs), 'the composed supergraph');
}

/** What a subgraph says of itself (Federation subgraph specification, `_service`). */
async function fetchSdl(client: SubgraphClient): Promise<string> {
  const { name, url } = client.settings;
  const attempted = `fetch the SDL of subgraph "${name}" at "${url}"`;
  const outcome = await client.send({
    body: JSON.stringify({ query: '{ _service { sdl } }' }),
    headers: subgraphHeaders(client.settings, {}),
    isRepeatable: true,
    signal: undefined,
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

async function readFileOf(readText: SupergraphSources['readText'], path: string): Promise<string> {
  try {
    return await readText(path);
  } catch (thrown) {
    throw new CountersignError('ERR_ROUTER_SUPERGRAPH', `read "${path}": ${messageOf(thrown)}`, {
      cause: thrown,
    });
  }
}
