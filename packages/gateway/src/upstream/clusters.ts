import type { ClusterModel } from '../model/cluster-model.ts';
import { Cluster, type ClusterSurroundings } from './cluster.ts';

/** By name. */
export type Clusters = ReadonlyMap<string, Cluster>;

/** A cluster of `known` that is configured the same is kept, connections and all. */
export function openClusters(
  models: readonly ClusterModel[],
  around: ClusterSurroundings,
  known: Clusters = new Map(),
): Clusters {
  const byKey = new Map([...known.values()].map((each) => [keyOf(each.model), each]));
  return new Map(
    models.map((model) => [model.name, byKey.get(keyOf(model)) ?? new Cluster(model, around)]),
  );
}

/** Those of `clusters` that are not in `kept` any more. */
export function retiredClusters(clusters: Clusters, kept: Clusters): Cluster[] {
  const still = new Set(kept.values());
  return [...clusters.values()].filter((each) => !still.has(each));
}

/** What is known of each endpoint, for /status. */
export function reportClusters(clusters: Clusters): object[] {
  return [...clusters.values()].map(({ model, endpoints, isPanicking }) => ({
    name: model.name,
    endpoints: endpoints.map(({ key, inFlight, isEjected, ejections, failsChecks }) => ({
      ...{ address: key, requests: inFlight },
      ...(model.outliers !== undefined && { ejected: isEjected, ejections }),
      ...(model.healthCheck !== undefined && { healthy: !failsChecks }),
    })),
    // So few are fit that all of them take requests.
    ...(isPanicking && { panic: true }),
  }));
}

function keyOf(model: ClusterModel): string {
  return JSON.stringify(model);
}
