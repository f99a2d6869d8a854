import type { ChildMessage, ParentMessage } from './planner-messages.ts';

// A planner's process that does what the query says: `{ die }`, `{ hang }`, `{ fail }`; it has no plan for anything else.

process.on('message', (message: ParentMessage) => {
  if ('sdl' in message) {
    if (message.sdl !== 'hang') tell({ publicSdl: message.sdl, labels: [], percentages: [] });
    return;
  }
  const { id, query } = message;
  if (query === '{ hang }') return;
  if (query === '{ die }') process.kill(process.pid, 'SIGKILL');
  else if (query === '{ fail }') tell({ id, error: 'no' });
  // What is asked for together is planned together.
  else setImmediate(() => tell({ id, node: null }));
});

function tell(message: ChildMessage): void {
  process.send?.(message);
}
