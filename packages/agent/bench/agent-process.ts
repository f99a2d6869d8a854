// The agent of the bench, in a process of its own so that its CPU and memory are its own; or what it is measured beside:
// a bare HTTP/2 server, or that of grpc-js, which answer at once, always the same, and ask nobody who they are.
import { createServer, type ServerHttp2Stream } from 'node:http2';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import { authorityDouble, entryFor, myService } from '../src/agent-world.suite.ts';
import { frameOf } from '../src/grpc/message-frames.ts';
import { startAgent } from '../src/index.ts';
import { workloadMethods } from '../src/serve/workload-messages.ts';

const [, , kind = 'agent', socket = ''] = process.argv;

const answer = new Uint8Array(1400).fill(7);
const hangingUp = { streamResetBurst: 20_000, streamResetRate: 20_000 };
const kinds: Readonly<Record<string, () => Promise<() => void>>> = {
  agent: serveAgent,
  bare: serveBare,
  grpc: serveGrpc,
};
const renewAll = (await kinds[kind]?.()) ?? (() => {});

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

async function serveBare(): Promise<() => void> {
  const frame = frameOf(answer);
  const server = createServer(hangingUp);
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {});
    stream.on('data', () => {});
    stream.on('end', () => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' });
      stream.write(frame);
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return () => {};
}

async function serveGrpc(): Promise<() => void> {
  const server = new Server({ 'grpc.enable_channelz': 0 });
  const { commonServerOptions } = server as unknown as { commonServerOptions: object };
  Object.assign(commonServerOptions, hangingUp);
  const { path } = workloadMethods.fetchX509Svid;
  const same = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bytes = { requestSerialize: same, requestDeserialize: same };
  const answers = { responseSerialize: same, responseDeserialize: same };
  const streams = { requestStream: false, responseStream: true };
  server.addService(
    { fetchX509Svid: { path, ...streams, ...bytes, ...answers } },
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
