import { QueryPlanner } from '@graphql-hive/router-query-planner';
import type { ChildMessage, ParentMessage } from './planner-messages.ts';

// The process that holds the native planner: a fault in it ends this process, and no router.

let planner: QueryPlanner | undefined;

process.on('message', (message: ParentMessage) => {
  if ('sdl' in message) open(message.sdl);
  else void plan(message);
});
// Ends with the channel, that is with its router, which goes on planning while it drains.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

function open(sdl: string): void {
  try {
    planner = new QueryPlanner(sdl);
    const { consumerSchema: publicSdl, overrideLabels, overridePercentages } = planner;
    tell({ publicSdl, labels: overrideLabels, percentages: overridePercentages });
  } catch (thrown) {
    tell({ broken: String(thrown) });
  }
}

async function plan(message: Extract<ParentMessage, { readonly query: string }>): Promise<void> {
  const { id, query, operationName, labels, percentage } = message;
  try {
    if (planner === undefined) throw new TypeError('a plan before its supergraph');
    const active = new Set(labels);
    const { node } = await planner.planAsync(query, operationName, active, percentage);
    tell({ id, node: node ?? null });
  } catch (thrown) {
    tell({ id, error: String(thrown) });
  }
}

function tell(message: ChildMessage): void {
  process.send?.(message);
}
