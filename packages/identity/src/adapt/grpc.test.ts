import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as grpc from '@grpc/grpc-js';
import { grpcCredentials, secureGrpcServer } from './grpc.ts';
import { clientId, LiveWorld, serverId } from './live-world.suite.ts';

const text = {
  serialize: (value: string) => Buffer.from(value),
  deserialize: (bytes: Buffer) => bytes.toString(),
};
const whoAmI = {
  path: '/test.Who/AmI',
  requestStream: false,
  responseStream: false,
  requestSerialize: text.serialize,
  requestDeserialize: text.deserialize,
  responseSerialize: text.serialize,
  responseDeserialize: text.deserialize,
} as const;

test('gRPC knows who calls, and the credentials of client and server follow two rotations', async () => {
  const world = new LiveWorld();
  const [server, client] = [world.server(), world.identity(clientId)];
  const service = new grpc.Server();
  service.addService(
    { whoAmI },
    {
      whoAmI: (call: grpc.ServerUnaryCall<string, string>, done: grpc.sendUnaryData<string>) =>
        done(null, secure.peerOf(call)?.serialHex ?? 'nobody'),
    },
  );
  const secure = secureGrpcServer(grpc, server, service);
  const { port } = await secure.listen(0);
  const credentials = grpcCredentials(grpc, client, { allow: [serverId] });
  const serials: string[] = [];
  for (let i = 0; i < 3; i += 1) {
    const channel = connect(port, credentials);
    serials.push(await ask(channel));
    assert.equal(serials.at(-1), client.svid().serialHex);
    channel.close();
    client.rotate();
    server.rotate();
  }
  assert.equal(new Set(serials).size, 3);
  const misled = connect(port, grpcCredentials(grpc, client, { allow: [] }));
  await assert.rejects(ask(misled), { code: grpc.status.UNAVAILABLE });
  misled.close();
  const stranger = connect(port, grpcCredentials(grpc, new LiveWorld().identity(clientId)));
  await assert.rejects(ask(stranger), { code: grpc.status.UNAVAILABLE });
  stranger.close();
  await secure.close(0);
  service.forceShutdown();
});

function connect(port: number, credentials: grpc.ChannelCredentials): grpc.Client {
  // A pool of channels would hand out the connection of before.
  return new grpc.Client(`localhost:${port}`, credentials, { 'grpc.use_local_subchannel_pool': 1 });
}

function ask(client: grpc.Client): Promise<string> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      whoAmI.path,
      text.serialize,
      text.deserialize,
      'x',
      (failed, answer) => {
        if (failed === null) resolve(answer ?? '');
        else reject(failed);
      },
    );
  });
}
