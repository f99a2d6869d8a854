import { parseDuration } from '@countersign/base';
import { durationSchema } from '@countersign/config';
import { z } from 'zod';

const graphqlName = z
  .string()
  .regex(/^(?!__)[A-Za-z_][A-Za-z0-9_]*$/, 'expected a name of GraphQL');
const protoName = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_.]*$/, 'expected a name such as shop.v1.Users');
const methodPattern = z
  .string()
  .regex(
    /^[A-Za-z0-9_.*]+(\/[A-Za-z0-9_*]+)?$/,
    'expected a method: Name, Service/Name or package.Service/Name, "*" for any part',
  );

/** A subgraph that speaks gRPC: what describes it, and which of its methods are which fields. */
export const grpcSchema = z.strictObject({
  /** Path of a `FileDescriptorSet`, as `protoc --include_imports --descriptor_set_out` writes it. */
  descriptor_set: z.string().min(1).optional(),
  /** The server is asked for it, over the same mTLS, when the router starts and at each reload. */
  reflection: z.boolean().default(false),
  /**
   * While something streams, how often the connection is asked whether the other side is still there. Servers take less
   * than five minutes for abuse, unless they are told otherwise.
   */
  keepalive: durationSchema()
    .default(parseDuration('5m'))
    .refine((ms) => ms >= 1000, 'expected at least 1s'),
  /** Full names; all but those of gRPC itself unless given. */
  services: z.array(protoName).min(1).optional(),
  /** Methods that are queries; beside those that say NO_SIDE_EFFECTS or are named Get…, List… and the like. */
  queries: z.array(methodPattern).default([]),
  /** Methods that are mutations, whatever their name; all others that are no queries are, too. */
  mutations: z.array(methodPattern).default([]),
  /** Methods that are not there. */
  omit: z.array(methodPattern).default([]),
  /** GraphQL's name by `package.Service/Method` (a field), `package.Message` or `package.Enum` (a type). */
  names: z.record(z.string(), graphqlName).default({}),
  /** Directives by schema coordinate, such as `User.salary: '@allow(roles: ["hr"])'`. */
  directives: z.record(z.string(), z.string().startsWith('@')).default({}),
  /** Types that other subgraphs may refer to and extend. */
  entities: z
    .array(
      z.strictObject({
        type: graphqlName,
        /** Field or fields of it that are its key; they become `ID!`. */
        key: z
          .string()
          .regex(/^[A-Za-z_]\w*( [A-Za-z_]\w*)*$/, 'expected field names, separated by spaces'),
        /** What gives one by its key, or many by a list of keys. */
        method: methodPattern,
        /** Argument of the method by field of the key, where they differ. */
        arguments: z.record(graphqlName, graphqlName).default({}),
        /** Field of the answer in which it stands, or they do. */
        result: graphqlName.optional(),
      }),
    )
    .default([]),
  /** Fields that point to an entity, here or of another subgraph, by a key that a message has. */
  references: z
    .array(
      z.strictObject({
        type: graphqlName,
        /** The new field of `type`. */
        field: graphqlName,
        /** The type that it is of, and the field that is its key. */
        entity: graphqlName,
        key: graphqlName,
        /** Field of `type` that has the key's value, or a list of them. */
        from: graphqlName,
      }),
    )
    .default([]),
});
