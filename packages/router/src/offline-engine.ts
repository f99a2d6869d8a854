import { CountersignError, noLog } from '@countersign/base';
import type { RouterConfig } from './config/router-config.ts';
import { HeldPlanner } from './defer/held-planner.ts';
import type { GrpcSchema } from './grpc/grpc-schema.ts';
import type { ReadBytes } from './grpc/grpc-subgraph.ts';
import { AccessRules } from './operation/access.ts';
import { PlannerAliases } from './operation/planner-alias.ts';
import { OperationPreparer } from './operation/prepare-operation.ts';
import { publicSchemaOf } from './operation/public-schema.ts';
import { ProgressiveOverride } from './plan/progressive-override.ts';
import { openQueryPlanner } from './plan/query-planner.ts';
import { subgraphSettings } from './subgraph/subgraph-settings.ts';
import { loadSupergraph } from './supergraph/load-supergraph.ts';
import type { Supergraph } from './supergraph/supergraph.ts';
import { unknownRoles } from './supergraph/unknown-roles.ts';

/** Reads files that the configuration names. */
export interface ReadFiles {
  readonly readText: (path: string) => Promise<string>;
  readonly readBytes: ReadBytes;
}

/** What of a router works without any subgraph: its supergraph of files, its schema, its plans. */
export interface OfflineEngine {
  readonly supergraph: Supergraph;
  /** What files describe of gRPC, by the name of the subgraph. */
  readonly services: ReadonlyMap<string, GrpcSchema>;
  readonly preparer: OperationPreparer;
  /** Override labels of the configuration that no field has. */
  readonly unknownLabels: readonly string[];
  close(): void;
}

/** What has not moved for everybody is explained where it stays. */
const lastOfAll = 99.999_999_999;

/** @throws CountersignError ERR_ROUTER_*, ERR_USAGE where subgraphs would have to be asked for their SDL */
export async function openOffline(config: RouterConfig, files: ReadFiles): Promise<OfflineEngine> {
  const services = await describedServices(config, files);
  const supergraph = await loadSupergraph({
    config,
    readText: files.readText,
    async sdlOf(name) {
      const service = services.get(name);
      if (service !== undefined) return service.sdl;
      const message = `subgraph "${name}" has no "schema", and is not asked here`;
      throw new CountersignError('ERR_USAGE', message, {
        hint: 'give subgraphs[].schema, subgraphs[].grpc.descriptor_set, or a supergraph',
      });
    },
  });
  const planner = await openQueryPlanner(supergraph.sdl, noLog);
  const schema = publicSchemaOf(planner.publicSdl);
  const access = new AccessRules(supergraph, schema);
  const { limits, introspection } = config;
  const override = new ProgressiveOverride(
    planner.overrides,
    config.override_labels,
    () => lastOfAll,
  );
  const preparer = new OperationPreparer({
    ...{ schema, planner, access, override, limits, introspection },
    aliases: new PlannerAliases(supergraph.requiredNames),
    held: new HeldPlanner(supergraph.sdl, noLog),
  });
  const unknownLabels = ProgressiveOverride.unknown(
    planner.overrides.labels,
    config.override_labels,
  );
  return { supergraph, services, preparer, unknownLabels, close: () => planner.retire() };
}

/** The gRPC services that files describe, by the name of their subgraph. */
async function describedServices(
  { subgraphs }: RouterConfig,
  { readBytes }: ReadFiles,
): Promise<ReadonlyMap<string, GrpcSchema>> {
  const found = new Map<string, GrpcSchema>();
  for (const { name, grpc } of subgraphs) {
    const path = grpc?.descriptor_set;
    if (grpc === undefined || path === undefined) continue;
    const { describeService } = await import('./grpc/describe-service.ts');
    found.set(name, describeService(await readBytes(path), path, grpc));
  }
  return found;
}

/**
 * Everything that a start would find wrong without asking anybody: composition, planner, URLs.
 *
 * @returns notes for the operator
 * @throws CountersignError ERR_ROUTER_*
 */
export async function checkSupergraph(config: RouterConfig, files: ReadFiles): Promise<string[]> {
  const { supergraph, unknownLabels, close } = await openOffline(config, files);
  close();
  for (const [name, url] of supergraph.subgraphs) subgraphSettings(config, name, url);
  const labels = unknownLabels.map((each) => `no field has the label "${each}" of override_labels`);
  return [...labels, ...unknownRoles(supergraph, config)];
}
