import { CountersignError, noLog } from '@countersign/base';
import type { RouterConfig } from './config/router-config.ts';
import { HeldPlanner } from './defer/held-planner.ts';
import { AccessRules } from './operation/access.ts';
import { OperationPreparer } from './operation/prepare-operation.ts';
import { publicSchemaOf } from './operation/public-schema.ts';
import { ProgressiveOverride } from './plan/progressive-override.ts';
import { openQueryPlanner } from './plan/query-planner.ts';
import { subgraphSettings } from './subgraph/subgraph-settings.ts';
import { loadSupergraph } from './supergraph/load-supergraph.ts';
import type { Supergraph } from './supergraph/supergraph.ts';

export type ReadText = (path: string) => Promise<string>;

/** What of a router works without any subgraph: its supergraph of files, its schema, its plans. */
export interface OfflineEngine {
  readonly supergraph: Supergraph;
  readonly preparer: OperationPreparer;
  /** Override labels of the configuration that no field has. */
  readonly unknownLabels: readonly string[];
  close(): void;
}

/** What has not moved for everybody is explained where it stays. */
const lastOfAll = 99.999_999_999;

/** @throws CountersignError ERR_ROUTER_*, ERR_USAGE where subgraphs would have to be asked for their SDL */
export async function openOffline(
  config: RouterConfig,
  readText: ReadText,
): Promise<OfflineEngine> {
  const supergraph = await loadSupergraph({
    config,
    readText,
    clientOf(name) {
      const message = `subgraph "${name}" has no "schema", and is not asked here`;
      throw new CountersignError('ERR_USAGE', message, {
        hint: 'give subgraphs[].schema, or a supergraph',
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
    held: new HeldPlanner(supergraph.sdl, noLog),
  });
  const unknownLabels = ProgressiveOverride.unknown(
    planner.overrides.labels,
    config.override_labels,
  );
  return { supergraph, preparer, unknownLabels, close: () => planner.retire() };
}

/**
 * Everything that a start would find wrong without asking anybody: composition, planner, URLs.
 *
 * @returns notes for the operator
 * @throws CountersignError ERR_ROUTER_*
 */
export async function checkSupergraph(config: RouterConfig, readText: ReadText): Promise<string[]> {
  const { supergraph, unknownLabels, close } = await openOffline(config, readText);
  close();
  for (const [name, url] of supergraph.subgraphs) subgraphSettings(config, name, url);
  return unknownLabels.map((each) => `no field has the label "${each}" of override_labels`);
}
