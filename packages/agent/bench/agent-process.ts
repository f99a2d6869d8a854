// The agent of the bench, in a process of its own so that its CPU and memory are its own; or the floor: gRPC alone.
import { noLog, noMeter, systemClock } from '@countersign/base';
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { authorityDouble, entryFor, myService } from '../src/agent-world.suite.ts';
import { startAgent } from '../src/index.ts';
import { workloadMethods } from '../src/serve/workload-messages.ts';

const [, , kind = 'agent', socket = ''] = process.argv;

const renewAll = kind === 'agent' ? await serveAgent() : await serveFloor();

process.on('message', (asked) => {
  if (asked === 'renew') renewAll();
  const { rss } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  process.send?.({ rss, cpuMicros: user + system });
});
process.on('disconnect', () => process.exit(0));
process.send?.('ready');

async function serveAgent(): Promise<() => void> {
  const authority = authorityDouble();
  const agent = await startAgent({
    ...{ socket, bundle: authority.bundleOf, authority, entries: [entryFor(myService)] },
    ...{ clock: systemClock, log: noLog, meter: noMeter },
  });
  await agent.settled;
  return () => agent.renewAll();
}

/** A server that answers at once, always the same, and asks nobody who they are. */
async function serveFloor(): Promise<() => void> {
  const server = new Server({ 'grpc.enable_channelz': 0 });
  const { commonServerOptions } = server as unknown as { commonServerOptions: object };
  Object.assign(commonServerOptions, { streamResetBurst: 20_000, streamResetRate: 20_000 });
  const answer = new Uint8Array(1400).fill(7);
  const { fetchX509Svid } = workloadMethods;
  server.addService(
    { fetchX509Svid },
    {
      fetchX509Svid: (call: ServerWritableStream<unknown, Uint8Array>) => {
        call.write(answer);
      },
    },
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return () => {};
}
