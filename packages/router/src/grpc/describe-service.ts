import { type FieldNode, type OperationDefinitionNode, parse } from 'graphql';
import type { GrpcConfig } from '../config/router-config.ts';
import { type GrpcSchema, grpcSchema } from './grpc-schema.ts';
import { readDescriptorSet } from './proto-schema.ts';

/**
 * A service as its descriptor set and the configuration describe it.
 *
 * @param from where the set was read, for messages
 * @throws CountersignError ERR_ROUTER_PROTO
 */
export function describeService(bytes: Uint8Array, from: string, config: GrpcConfig): GrpcSchema {
  return grpcSchema(readDescriptorSet(bytes, from), config);
}

/** Which methods an operation of a plan calls. */
export function methodsOf(schema: GrpcSchema, operation: string): readonly string[] {
  const { definitions } = parse(operation, { noLocation: true });
  const [root] = definitions as readonly OperationDefinitionNode[];
  const selections = root?.selectionSet.selections ?? [];
  const fields = selections.filter((each): each is FieldNode => each.kind === 'Field');
  const rootType = { query: 'Query', mutation: 'Mutation', subscription: 'Subscription' };
  const paths = fields.flatMap((field) => {
    const name = field.name.value;
    if (name === '_entities') return entityMethods(schema, field);
    const type = rootType[root?.operation ?? 'query'];
    return schema.methods
      .filter((each) => each.root === type && each.field === name)
      .map(({ method }) => method.path);
  });
  return [...new Set(paths)];
}

function entityMethods({ entities }: GrpcSchema, { selectionSet }: FieldNode): string[] {
  return (selectionSet?.selections ?? []).flatMap((each) => {
    const type = each.kind === 'InlineFragment' ? each.typeCondition?.name.value : undefined;
    const binding = type === undefined ? undefined : entities.get(type);
    return binding === undefined ? [] : [binding.method.path];
  });
}
