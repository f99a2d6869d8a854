import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { noLog, noMeter, systemClock } from '@countersign/base';
import { createMtlsListener, describePeer } from '@countersign/mtls';
import { staticBundles, staticSvid, type TrustBundle, type X509Svid } from '@countersign/spiffe';
import {
  buildASTSchema,
  concatAST,
  type DocumentNode,
  extendSchema,
  type GraphQLFieldResolver,
  type GraphQLSchema,
  graphql,
  Kind,
  parse,
  subscribe,
} from 'graphql';
import { useServer as serveOver } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

type Resolver = GraphQLFieldResolver<Record<string, unknown>, unknown>;

export interface SubgraphSource {
  readonly name: string;
  readonly sdl: string;
  /** By type, then field; `__resolveReference` of a type takes a representation. */
  readonly resolvers: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly cacheControl?: string;
}

export interface TestSubgraph {
  readonly name: string;
  readonly url: string;
  readonly port: number;
  readonly sdl: string;
  /** What it was sent, in order. */
  readonly requests: {
    readonly body: { query: string; variables?: object };
    readonly headers: IncomingMessage['headers'];
    readonly peer: string;
  }[];
  close(): Promise<void>;
}

/** What a subgraph may use without defining it, both generations of the specification. */
const federation = parse(`
scalar _Any
scalar FieldSet
scalar link__Import
directive @key(fields: FieldSet!, resolvable: Boolean = true) repeatable on OBJECT | INTERFACE
directive @requires(fields: FieldSet!) on FIELD_DEFINITION
directive @provides(fields: FieldSet!) on FIELD_DEFINITION
directive @external on OBJECT | FIELD_DEFINITION
directive @extends on OBJECT | INTERFACE
directive @shareable repeatable on OBJECT | FIELD_DEFINITION
directive @override(from: String!, label: String) on FIELD_DEFINITION
directive @inaccessible on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ENUM | ENUM_VALUE
directive @interfaceObject on OBJECT
directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE
directive @requiresScopes(scopes: [[String!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE
directive @allow(principals: [String!], roles: [String!]) repeatable on OBJECT | INTERFACE | FIELD_DEFINITION | ARGUMENT_DEFINITION
directive @deny(principals: [String!], roles: [String!]) repeatable on OBJECT | INTERFACE | FIELD_DEFINITION | ARGUMENT_DEFINITION
directive @link(url: String!, as: String, import: [link__Import]) repeatable on SCHEMA
type _Service { sdl: String! }
`);

/** An executable schema of a subgraph: its SDL, `_service`, `_entities` and its resolvers. */
export function subgraphSchema({ sdl, resolvers }: SubgraphSource): GraphQLSchema {
  const own = withTypesFor(parse(sdl));
  const entities = [...new Set(own.definitions.flatMap(entityName))];
  const union = entities.length === 0 ? '' : `union _Entity = ${entities.join(' | ')}`;
  const field = entities.length === 0 ? '' : '_entities(representations: [_Any!]!): [_Entity]!';
  const service = parse(`${union} type Query { _service: _Service! ${field} }`);
  const base = buildASTSchema(concatAST([federation, service, withoutQuery(own)]), {
    assumeValid: true,
    assumeValidSDL: true,
  });
  const schema = extendSchema(base, queryOf(own), { assumeValid: true, assumeValidSDL: true });
  const all: SubgraphSource['resolvers'] = {
    ...resolvers,
    Query: {
      ...resolvers.Query,
      _service: () => ({ sdl }),
      _entities: ((_root, { representations }) =>
        (representations as Record<string, unknown>[]).map(async (each) => {
          const resolve = resolvers[String(each.__typename)]?.__resolveReference as
            | ((representation: object) => unknown)
            | undefined;
          const found = resolve === undefined ? each : await resolve(each);
          return found && { __typename: each.__typename, ...(found as object) };
        })) as Resolver,
    },
  };
  for (const [typeName, fields] of Object.entries(all)) {
    const type = schema.getType(typeName);
    if (type === undefined || !('getFields' in type)) continue;
    for (const [name, resolve] of Object.entries(fields)) {
      const definition = type.getFields()[name];
      if (definition === undefined || !('resolve' in definition)) continue;
      if (typeName === 'Subscription') definition.subscribe = resolve as Resolver;
      else definition.resolve = resolve as Resolver;
    }
  }
  return schema;
}

async function streamTo(response: ServerResponse, asked: Parameters<typeof subscribe>[0]) {
  const events = await subscribe(asked);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  if (Symbol.asyncIterator in events) {
    response.once('close', () => void events.return?.(undefined));
    for await (const event of events) {
      response.write(`event: next\ndata: ${JSON.stringify(event)}\n\n`);
    }
  } else response.write(`event: next\ndata: ${JSON.stringify(events)}\n\n`);
  response.end('event: complete\ndata:\n\n');
}

/** A subgraph over mTLS that asks for a certificate of `bundle`, or over plain HTTP. */
export async function serveSubgraph(
  source: SubgraphSource,
  identity: { readonly svid: X509Svid; readonly bundle: TrustBundle } | undefined,
): Promise<TestSubgraph> {
  const schema = subgraphSchema(source);
  const requests: TestSubgraph['requests'] = [];
  const peers = new WeakMap<object, string>();
  const front = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.once('end', () => {
      const body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
      requests.push({ body, headers: request.headers, peer: peers.get(request.socket) ?? '' });
      const { query, variables, operationName } = body;
      const contextValue = { headers: request.headers };
      if (request.headers.accept === 'text/event-stream') {
        const asked = { schema, document: parse(query), variableValues: variables, contextValue };
        void streamTo(response, asked);
        return;
      }
      graphql({
        schema,
        source: query,
        variableValues: variables,
        operationName,
        contextValue,
      }).then((result) => {
        response.setHeader('content-type', 'application/json');
        if (source.cacheControl !== undefined)
          response.setHeader('cache-control', source.cacheControl);
        response.end(JSON.stringify(result));
      });
    });
  });
  const sockets = new WebSocketServer({ server: front });
  serveOver({ schema }, sockets);
  if (identity === undefined) {
    await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
    const { port } = front.address() as { port: number };
    const close = async () => {
      front.closeAllConnections();
      await new Promise<void>((resolve) => front.close(() => resolve()));
    };
    return { ...source, url: `http://127.0.0.1:${port}/`, port, requests, close };
  }
  const listener = createMtlsListener({
    name: source.name,
    svids: staticSvid(identity.svid),
    bundles: staticBundles(identity.bundle),
    clientAuth: 'require',
    ...{ clock: systemClock, log: noLog, meter: noMeter },
    onConnection(socket, peer) {
      peers.set(socket, String(describePeer(peer).peer));
      front.emit('connection', socket);
    },
  });
  const { port } = await listener.listen(0, '127.0.0.1');
  return {
    ...{ ...source, url: `https://localhost:${port}/graphql`, port, requests },
    async close() {
      await listener.close(0);
      front.close();
    },
  };
}

/** Federation lets a subgraph extend a type that it does not define. */
function withTypesFor(document: DocumentNode): DocumentNode {
  const defined = new Set(
    document.definitions.flatMap((each) =>
      'name' in each && each.name && !each.kind.includes('Extension') ? [each.name.value] : [],
    ),
  );
  const definitions = document.definitions.flatMap((each): DocumentNode['definitions'] => {
    if (each.kind === Kind.SCHEMA_EXTENSION || each.kind === Kind.SCHEMA_DEFINITION) return [];
    if (each.kind === Kind.OBJECT_TYPE_DEFINITION && each.name.value === 'Query') {
      return [{ ...each, kind: Kind.OBJECT_TYPE_EXTENSION } as never];
    }
    if (each.kind === Kind.OBJECT_TYPE_EXTENSION && each.name.value !== 'Query') {
      if (defined.has(each.name.value)) return [each];
      defined.add(each.name.value);
      return [{ ...each, kind: Kind.OBJECT_TYPE_DEFINITION } as never];
    }
    return [each];
  });
  return { ...document, definitions };
}

function isQuery(definition: DocumentNode['definitions'][number]): boolean {
  return 'name' in definition && definition.name !== undefined && definition.name.value === 'Query';
}

function withoutQuery(document: DocumentNode): DocumentNode {
  return { ...document, definitions: document.definitions.filter((each) => !isQuery(each)) };
}

function queryOf(document: DocumentNode): DocumentNode {
  return { ...document, definitions: document.definitions.filter(isQuery) };
}

function entityName(definition: DocumentNode['definitions'][number]): string[] {
  const isObject =
    definition.kind === Kind.OBJECT_TYPE_DEFINITION ||
    definition.kind === Kind.OBJECT_TYPE_EXTENSION;
  if (!isObject) return [];
  return definition.directives?.some(({ name }) => name.value === 'key') === true
    ? [definition.name.value]
    : [];
}
