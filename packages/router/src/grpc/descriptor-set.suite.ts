import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor/index.js';

/**
 * The descriptor set of `.proto` sources, as protoc would write it: protobufjs reads the text and describes it. Imports
 * are of the sources, or `google/protobuf/*.proto`.
 */
export function descriptorSetOf(files: Readonly<Record<string, string>>): Uint8Array {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => target;
  const pending = Object.keys(files);
  const seen = new Set<string>();
  for (const name of pending) {
    if (seen.has(name)) continue;
    seen.add(name);
    const text = files[name];
    if (text === undefined) {
      root.addJSON(commonOf(name));
      continue;
    }
    const { imports = [] } = protobuf.parse(text, root, { keepCase: true });
    pending.push(...imports);
  }
  root.resolveAll();
  const described = (
    root as unknown as { toDescriptor(syntax: string): protobuf.Message }
  ).toDescriptor('proto3');
  return descriptor.FileDescriptorSet.encode(described).finish();
}

/** Lines of a `.proto` file for files of `google/protobuf`. */
export function imports(...files: readonly string[]): string {
  const quoted = files.map((file) => JSON.stringify(`google/protobuf/${file}.proto`));
  return quoted
    .map((path) => ['import', path].join(' '))
    .join(';\n')
    .concat(';');
}

function commonOf(name: string): Record<string, protobuf.AnyNestedObject> {
  const known = protobuf.common.get(name);
  if (known?.nested !== undefined) return known.nested;
  if (name === 'google/protobuf/field_mask.proto') {
    const fields = { paths: { rule: 'repeated', type: 'string', id: 1 } };
    return { google: { nested: { protobuf: { nested: { FieldMask: { fields } } } } } } as never;
  }
  throw new Error(`no file "${name}"`);
}
