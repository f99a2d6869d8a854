import type { Meter } from '@countersign/base';
import type { SvidSource } from '@countersign/spiffe';
import type { RouterConfig } from '../config/router-config.ts';
import type { ReadBytes } from '../grpc/grpc-subgraph.ts';
import type { Subgraph } from './subgraph.ts';
import { SubgraphClient } from './subgraph-client.ts';
import type { Trust } from './subgraph-pool.ts';
import { subgraphSettings } from './subgraph-settings.ts';

export interface SubgraphSurroundings {
  readonly trust: Trust;
  /** Whose identity is shown to some of them, by the subgraph's name. */
  readonly svidsOf: ReadonlyMap<string, SvidSource> | undefined;
  readonly meter: Meter;
  readonly readBytes: ReadBytes;
}

/** The subgraphs of one configuration, each opened when it is first asked for. */
export interface OpenedSubgraphs {
  readonly all: ReadonlyMap<string, Subgraph>;
  /** @param url the one of the supergraph, where the configuration has none */
  of(name: string, url?: string): Subgraph;
}

/** @param before those of the configuration until now, which are kept where nothing about them has changed */
export async function openSubgraphs(
  config: RouterConfig,
  before: ReadonlyMap<string, Subgraph>,
  { trust, svidsOf, meter, readBytes }: SubgraphSurroundings,
): Promise<OpenedSubgraphs> {
  const opened = new Map<string, Subgraph>();
  // HTTP/2 and protobuf are nothing that other routers should load.
  const isAnyGrpc = config.subgraphs.some(({ grpc }) => grpc !== undefined);
  const grpcModule = isAnyGrpc ? await import('../grpc/grpc-subgraph.ts') : undefined;
  const open = (name: string, url: string | undefined): Subgraph => {
    const svids = svidsOf?.get(name);
    const own = svids === undefined ? trust : { ...trust, svids };
    const settings = subgraphSettings(config, name, url);
    const grpc = config.subgraphs.find((each) => each.name === name)?.grpc;
    if (grpc === undefined || grpcModule === undefined) {
      return new SubgraphClient(settings, own, meter);
    }
    return new grpcModule.GrpcSubgraph({ settings, grpc, trust: own, meter, readBytes });
  };
  return {
    all: opened,
    of(name, url) {
      const known = opened.get(name);
      if (known !== undefined) return known;
      const fresh = open(name, url);
      const old = before.get(name);
      const subgraph = old !== undefined && isSame(old, fresh) ? old : fresh;
      opened.set(name, subgraph);
      return subgraph;
    },
  };
}

/** What describes a gRPC service may have changed, which its settings do not say. */
function isSame(old: Subgraph, fresh: Subgraph): boolean {
  const textOf = ({ settings }: Subgraph) => JSON.stringify(settings);
  if (fresh.settings.protocol === 'grpc') return false;
  return textOf(old) === textOf(fresh) && old.trust.svids === fresh.trust.svids;
}
