import { CountersignError, messageOf } from '@countersign/base';
import type { RouterConfig } from '../config/router-config.ts';
import { readSupergraph, type Supergraph } from './supergraph.ts';

export interface SupergraphSources {
  readonly config: RouterConfig;
  /** Reads a file that the configuration names. */
  readonly readText: (path: string) => Promise<string>;
  /** What a subgraph of the configuration says of itself, for those without a file of their SDL. */
  readonly sdlOf: (name: string) => Promise<string>;
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
        schema === undefined ? await sources.sdlOf(name) : await readFileOf(readText, schema);
      return { name, url, sdl, from };
    }),
  );
  // Composition is a large piece of code that most routers, which have a supergraph's file, do not need.
  const { composeSupergraph } = await import('./compose-supergraph.ts');
  return readSupergraph(composeSupergraph(subgraphs), 'the composed supergraph');
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
