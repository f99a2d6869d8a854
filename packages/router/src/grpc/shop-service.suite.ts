import { once } from 'node:events';
import type { TestCa } from '@countersign/testkit';
import { encodePem, encodePrivateKey } from '@countersign/x509';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import { serviceSvid } from '../router-world.suite.ts';
import type { TestSubgraph } from '../subgraph.suite.ts';
import { descriptorSetOf, imports } from './descriptor-set.suite.ts';

/** A service as many write them: enums, oneofs, maps, repeated and well-known types, 64-bit numbers, a stream. */
export const shopProto = `
syntax = "proto3";
package shop.v1;
${imports('timestamp', 'empty')}

service Users {
  rpc GetUser(GetUserRequest) returns (User);
  rpc BatchGetUsers(BatchGetUsersRequest) returns (BatchGetUsersResponse);
  rpc ListUsers(ListUsersRequest) returns (ListUsersResponse);
  rpc RenameUser(RenameUserRequest) returns (User);
  rpc Forget(google.protobuf.Empty) returns (google.protobuf.Empty);
  rpc Slow(GetUserRequest) returns (User);
  rpc WatchUsers(ListUsersRequest) returns (stream User);
  rpc Upload(stream User) returns (google.protobuf.Empty);
}
enum Role { ROLE_UNSPECIFIED = 0; ADMIN = 1; GUEST = 2; }
message User {
  string user_id = 1; string full_name = 2; Role role = 3; int64 balance = 4;
  google.protobuf.Timestamp created_at = 5; map<string, string> labels = 6;
  oneof contact { string email = 7; string phone = 8; }
  repeated Address addresses = 9; string favourite_product = 10;
  message Address { string street = 1; optional int32 floor = 2; }
}
message GetUserRequest { string user_id = 1; }
message BatchGetUsersRequest { repeated string user_ids = 1; }
message BatchGetUsersResponse { repeated User users = 1; }
message ListUsersRequest { Filter filter = 1; int32 count = 2; }
message Filter { Role role = 1; repeated string names = 2; }
message ListUsersResponse { repeated User users = 1; string next_page_token = 2; }
message RenameUserRequest { string user_id = 1; string full_name = 2; }
`;

export const shopSet = descriptorSetOf({ 'shop.proto': shopProto });

export interface ShopCall {
  readonly method: string;
  readonly request: Record<string, unknown>;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ShopService extends TestSubgraph {
  readonly calls: ShopCall[];
  /** Streams that are open now. */
  readonly watching: Set<ServerWritableStream<unknown, unknown>>;
  push(userId: string): void;
}

interface Serving {
  readonly ca: TestCa;
  readonly name: string;
  /** Its certificate, if it is not the one that the name stands for. */
  readonly svid?: ReturnType<typeof serviceSvid>;
  readonly isPlaintext?: boolean;
  readonly hasReflection?: boolean;
}

export function userOf(userId: string): Record<string, unknown> {
  return {
    ...{ userId, fullName: `User ${userId}`, role: 1, balance: '9007199254740993' },
    createdAt: { seconds: '1893456000', nanos: 500_000_000 },
    ...{ labels: { team: 'red' }, email: `${userId}@a.example`, favouriteProduct: 'p1' },
    addresses: [{ street: 'Main', floor: 0 }, { street: 'Side' }],
  };
}

/** A real grpc-js server of {@link shopProto}. */
export async function serveShop(options: Serving): Promise<ShopService> {
  const { ca, name } = options;
  const root = parsed();
  const calls: ShopCall[] = [];
  const watching = new Set<ServerWritableStream<unknown, unknown>>();
  const server = new Server();
  const codecOf = (type: string) => {
    const message = root.lookupType(type);
    return {
      decode: (bytes: Buffer) =>
        message.toObject(message.decode(bytes), { longs: String, defaults: true }),
      encode: (value: object) => Buffer.from(message.encode(message.fromObject(value)).finish()),
    };
  };
  const note = (method: string, call: { request: unknown; metadata: { getMap(): object } }) => {
    const request = call.request as Record<string, unknown>;
    calls.push({ method, request, metadata: call.metadata.getMap() as Record<string, string> });
    return request;
  };
  type Unary = ServerUnaryCall<unknown, unknown>;
  const definitionOf = (method: string, input: string, output: string, isStream = false) => ({
    path: `/shop.v1.Users/${method}`,
    ...{ requestStream: false, responseStream: isStream },
    requestSerialize: codecOf(input).encode,
    requestDeserialize: codecOf(input).decode,
    responseSerialize: codecOf(output).encode,
    responseDeserialize: codecOf(output).decode,
  });
  const known = (id: unknown) => typeof id === 'string' && /^u\d+$/.test(id);
  const giveUser = (method: string) => (call: Unary, answer: sendUnaryData<object>) => {
    const { userId } = note(method, call);
    if (known(userId)) answer(null, userOf(String(userId)));
    else if (userId === 'boom') answer({ code: status.INTERNAL, details: 'secret innards' });
    else answer({ code: status.NOT_FOUND, details: `no user ${userId}` });
  };
  const user = 'shop.v1.User';
  server.addService(
    {
      GetUser: definitionOf('GetUser', 'shop.v1.GetUserRequest', user),
      BatchGetUsers: definitionOf(
        'BatchGetUsers',
        'shop.v1.BatchGetUsersRequest',
        'shop.v1.BatchGetUsersResponse',
      ),
      ListUsers: definitionOf('ListUsers', 'shop.v1.ListUsersRequest', 'shop.v1.ListUsersResponse'),
      RenameUser: definitionOf('RenameUser', 'shop.v1.RenameUserRequest', user),
      Forget: definitionOf('Forget', 'google.protobuf.Empty', 'google.protobuf.Empty'),
      Slow: definitionOf('Slow', 'shop.v1.GetUserRequest', user),
      WatchUsers: definitionOf('WatchUsers', 'shop.v1.ListUsersRequest', user, true),
    },
    {
      GetUser: giveUser('GetUser'),
      BatchGetUsers(call: Unary, answer: sendUnaryData<object>) {
        const { userIds } = note('BatchGetUsers', call) as { userIds: string[] };
        const users = userIds.filter(known).toReversed().map(userOf);
        answer(null, { users });
      },
      ListUsers(call: Unary, answer: sendUnaryData<object>) {
        const { count } = note('ListUsers', call) as { count: number };
        const users = Array.from({ length: count }, (_, i) => userOf(`u${i}`));
        answer(null, { users, nextPageToken: 'more' });
      },
      RenameUser(call: Unary, answer: sendUnaryData<object>) {
        const { userId, fullName } = note('RenameUser', call);
        answer(null, { ...userOf(String(userId)), fullName });
      },
      Forget(call: Unary, answer: sendUnaryData<object>) {
        note('Forget', call);
        answer(null, {});
      },
      // Never answers.
      Slow: (call: Unary) => void note('Slow', call),
      WatchUsers(call: ServerWritableStream<unknown, unknown>) {
        const { count } = note('WatchUsers', call) as { count: number };
        for (let i = 0; i < count; i += 1) call.write(userOf(`u${i}`));
        if (count > 0) return void call.end();
        watching.add(call);
        call.on('cancelled', () => watching.delete(call));
      },
    },
  );
  if (options.hasReflection === true) addReflection(server);
  const port = await bind(server, options);
  return {
    ...{ name, port, sdl: '', requests: [], calls, watching },
    url: `${options.isPlaintext === true ? 'grpc' : 'grpcs'}://localhost:${port}`,
    push(userId) {
      for (const each of watching) each.write(userOf(userId));
    },
    async close() {
      server.forceShutdown();
    },
  };

  async function bind(of: Server, { svid, isPlaintext }: Serving): Promise<number> {
    const own = svid ?? serviceSvid(ca, name);
    const pem = own.chain.map(({ raw }) => encodePem('CERTIFICATE', raw)).join('');
    const pair = {
      cert_chain: Buffer.from(pem),
      private_key: Buffer.from(encodePrivateKey(own.privateKey)),
    };
    const trusted = Buffer.from(encodePem('CERTIFICATE', ca.root.raw));
    const credentials =
      isPlaintext === true
        ? ServerCredentials.createInsecure()
        : ServerCredentials.createSsl(trusted, [pair], true);
    return await new Promise((resolve, reject) => {
      of.bindAsync('127.0.0.1:0', credentials, (failed, bound) =>
        failed === null ? resolve(bound) : reject(failed),
      );
    });
  }
}

function parsed(): protobuf.Root {
  const root = new protobuf.Root();
  for (const file of ['timestamp', 'empty']) {
    root.addJSON(protobuf.common.get(`google/protobuf/${file}.proto`)?.nested ?? {});
  }
  protobuf.parse(shopProto, root);
  root.resolveAll();
  return root;
}

/** Reflection of one file, v1alpha alone, as older servers have it. */
function addReflection(server: Server): void {
  const path = '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo';
  const bytes = (value: Buffer) => value;
  const files = fileDescriptors(shopSet);
  server.addService(
    {
      Info: {
        ...{ path, requestStream: true, responseStream: true },
        ...{ requestSerialize: bytes, requestDeserialize: bytes },
        ...{ responseSerialize: bytes, responseDeserialize: bytes },
      },
    },
    {
      Info(call: ServerDuplexStream<Buffer, Buffer>) {
        call.on('data', (question: Buffer) => call.write(answerOf(question, files)));
        call.once('end', () => call.end());
      },
    },
  );
}

function answerOf(question: Buffer, files: readonly Uint8Array[]): Buffer {
  const isList = protobuf.Reader.create(question).uint32() >>> 3 === 7;
  const writer = protobuf.Writer.create();
  if (isList) {
    writer.uint32((6 << 3) | 2).fork();
    for (const name of ['shop.v1.Users', 'grpc.reflection.v1alpha.ServerReflection']) {
      writer.uint32(0x0a).fork().uint32(0x0a).string(name).ldelim();
    }
  } else {
    writer.uint32((4 << 3) | 2).fork();
    for (const file of files) writer.uint32(0x0a).bytes(file);
  }
  return Buffer.from(writer.ldelim().finish());
}

function fileDescriptors(set: Uint8Array): Uint8Array[] {
  const reader = protobuf.Reader.create(set);
  const files: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    reader.uint32();
    files.push(reader.bytes());
  }
  return files;
}

/** Until the service has so many streams open. */
export async function untilWatched(shop: ShopService, count: number): Promise<void> {
  const signal = AbortSignal.timeout(30_000);
  while (shop.watching.size !== count) {
    signal.throwIfAborted();
    await once(AbortSignal.timeout(5), 'abort');
  }
}
