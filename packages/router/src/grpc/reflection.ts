import { CountersignError } from '@countersign/base';
import protobuf from 'protobufjs';
import { maxDescriptorBytes } from './proto-schema.ts';

/** Asks one question on a stream of its own, and gives the answer. */
export type AskReflection = (path: string, message: Uint8Array) => Promise<Uint8Array>;

/** What is used of `grpc/reflection/v1/reflection.proto`; v1alpha is the same under another name. */
const { root } = protobuf.parse(`
syntax = "proto3";
message Request {
  oneof question { string file_by_filename = 3; string file_containing_symbol = 4; string list_services = 7; }
}
message Files { repeated bytes file_descriptor_proto = 1; }
message Service { string name = 1; }
message Services { repeated Service service = 1; }
message Refusal { int32 error_code = 1; string error_message = 2; }
message Response {
  oneof answer { Files files = 4; Services services = 6; Refusal refusal = 7; }
}
`);
const requestType = root.lookupType('Request');
const responseType = root.lookupType('Response');

interface Response {
  readonly files?: { readonly fileDescriptorProto?: readonly Uint8Array[] } | null;
  readonly services?: { readonly service?: readonly { readonly name?: string }[] } | null;
  readonly refusal?: { readonly errorMessage?: string } | null;
}

const versions = ['grpc.reflection.v1', 'grpc.reflection.v1alpha'] as const;
const maxFiles = 2000;

/**
 * The descriptor set of what a server serves, as its reflection says it: the files of the services and all that they
 * import.
 *
 * @param services full names; all that the server lists unless given
 * @throws CountersignError ERR_ROUTER_PROTO, and what the calls throw
 */
export async function reflectedSet(
  ask: AskReflection,
  services: readonly string[] | undefined,
): Promise<Uint8Array> {
  const { path, listed } = await findVersion(ask);
  const question = async (message: object): Promise<Response> =>
    responseOf(await ask(path, requestOf(message)));
  const files = new Map<string, Uint8Array>();
  let bytes = 0;
  const take = ({ files: found, refusal }: Response, asked: string): void => {
    const all = found?.fileDescriptorProto ?? [];
    if (all.length === 0) {
      const reason = refusal?.errorMessage ?? 'no file';
      throw wrong(`the server's reflection has no "${asked}": ${reason}`);
    }
    for (const file of all) {
      const { name } = readFile(file);
      if (files.has(name)) continue;
      bytes += file.length;
      if (files.size >= maxFiles || bytes > maxDescriptorBytes) {
        throw wrong(`the server's reflection has more than ${maxFiles} files, or too large ones`);
      }
      files.set(name, file);
    }
  };
  for (const name of services ?? listed) {
    take(await question({ fileContainingSymbol: name }), name);
  }
  // Some servers answer with a file alone, others with all that it imports.
  for (const file of files.values()) {
    for (const name of readFile(file).imports) {
      if (!files.has(name)) take(await question({ fileByFilename: name }), name);
    }
  }
  return setOf([...files.values()]);
}

async function findVersion(ask: AskReflection) {
  let failed: unknown;
  for (const version of versions) {
    const path = `${version}.ServerReflection/ServerReflectionInfo`;
    try {
      const { services } = responseOf(await ask(path, requestOf({ listServices: '' })));
      const names = (services?.service ?? []).map(({ name = '' }) => name);
      if (names.length > maxFiles) throw wrong(`the server lists ${names.length} services`);
      return { path, listed: names.filter((name) => !name.startsWith('grpc.reflection.')) };
    } catch (thrown) {
      const { fields } = thrown as CountersignError;
      if (fields?.status !== 'UNIMPLEMENTED') throw thrown;
      failed = thrown;
    }
  }
  throw failed;
}

function requestOf(message: object): Uint8Array {
  return requestType.encode(requestType.fromObject(message)).finish();
}

function responseOf(bytes: Uint8Array): Response {
  return responseType.decode(bytes) as Response;
}

/** Name and imports: fields 1 and 3 of `FileDescriptorProto`. */
function readFile(bytes: Uint8Array): { readonly name: string; readonly imports: string[] } {
  const reader = protobuf.Reader.create(bytes);
  let name = '';
  const imports: string[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === 0x0a) name = reader.string();
    else if (tag === 0x1a) imports.push(reader.string());
    else reader.skipType(tag & 7);
  }
  return { name, imports };
}

/** `FileDescriptorSet.file` is field 1, repeated. */
function setOf(files: readonly Uint8Array[]): Uint8Array {
  const writer = protobuf.Writer.create();
  for (const file of files) writer.uint32(0x0a).bytes(file);
  return writer.finish();
}

function wrong(message: string): CountersignError {
  return new CountersignError('ERR_ROUTER_PROTO', message);
}
