import { type Clock, CountersignError, type Log } from '@countersign/base';
import type { RouterConfig } from './config/router-config.ts';
import { RouterEngine } from './router-engine.ts';
import { openSubgraphs, type SubgraphSurroundings } from './subgraph/open-subgraphs.ts';
import type { Subgraph } from './subgraph/subgraph.ts';
import { loadSupergraph } from './supergraph/load-supergraph.ts';

export interface EngineSurroundings {
  readonly calling: SubgraphSurroundings;
  /** Reads a file that the configuration names. */
  readonly readText: (path: string) => Promise<string>;
  readonly newId: () => string;
  readonly draw: () => number;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Supergraph, subgraphs and engine: everything that a reload replaces as a whole. Where it fails, what was opened for it
 * is closed.
 *
 * @param before subgraphs until now, which are kept where nothing about them has changed
 * @throws CountersignError ERR_ROUTER_*
 */
export async function openEngine(
  config: RouterConfig,
  before: ReadonlyMap<string, Subgraph>,
  { calling, readText, newId, draw, clock, log }: EngineSurroundings,
): Promise<RouterEngine> {
  const subgraphs = await openSubgraphs(config, before, calling);
  try {
    const sdlOf = (name: string) => subgraphs.of(name).sdl();
    const supergraph = await loadSupergraph({ config, readText, sdlOf });
    for (const [name, url] of supergraph.subgraphs) subgraphs.of(name, url);
    for (const { name, grpc } of config.subgraphs) {
      // What describes a gRPC service is needed whoever composed the supergraph.
      if (grpc !== undefined) await sdlOf(name);
      if (supergraph.subgraphs.has(name)) continue;
      const message = `subgraph "${name}" is not in the supergraph`;
      throw new CountersignError('ERR_ROUTER_SUPERGRAPH', message);
    }
    const clients = subgraphs.all;
    return await RouterEngine.open({ supergraph, config, clients, newId, draw, clock, log });
  } catch (thrown) {
    await closeFresh(subgraphs.all, before);
    throw thrown;
  }
}

/** Ends the connections that were opened for an engine which does not take over. */
export async function closeFresh(
  subgraphs: ReadonlyMap<string, Subgraph>,
  before: ReadonlyMap<string, Subgraph>,
): Promise<void> {
  const kept = new Set(before.values());
  const fresh = [...subgraphs.values()].filter((each) => !kept.has(each));
  await Promise.all(fresh.map((each) => each.destroy()));
}
