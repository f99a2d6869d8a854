import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import protobuf from 'protobufjs';

/** One message type of a `.proto` file, as bytes in and out. Fields are in camel case, 64-bit numbers as numbers. */
export interface MessageType<T> {
  decode(bytes: Uint8Array): T;
  encode(message: T): Buffer;
}

/** The types of a `.proto` file and of those that it imports, which stand beside it. */
export function loadTypes(path: string): protobuf.Root {
  const root = new protobuf.Root();
  const files = [path];
  for (const file of files) {
    const { imports = [] } = protobuf.parse(readFileSync(file, 'utf8'), root);
    files.push(
      ...imports.map((name) => join(dirname(path), name)).filter((each) => !files.includes(each)),
    );
  }
  root.resolveAll();
  return root;
}

export function messageType<T>(root: protobuf.Root, name: string): MessageType<T> {
  const type = root.lookupType(name);
  return {
    decode: (bytes) =>
      type.toObject(type.decode(bytes), { longs: Number, enums: String, arrays: true }) as T,
    encode: (message) => Buffer.from(type.encode(type.fromObject(message as object)).finish()),
  };
}
