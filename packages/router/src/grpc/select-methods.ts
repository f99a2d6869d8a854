import type { GrpcConfig } from '../config/router-config.ts';
import { type ProtoMethod, type ProtoSchema, wrong } from './proto-schema.ts';

/** A method, and the root field that it is. */
export interface MethodBinding {
  readonly root: 'Query' | 'Mutation' | 'Subscription';
  readonly field: string;
  readonly method: ProtoMethod;
}

/** Services that speak of the server rather than of its data. */
const ofTheServer = /^grpc\.(reflection|health|channelz|binlog|lookup)\./;
/** How methods without side effects are named by most (Google AIP-131, AIP-132 and what is alike). */
const readingName =
  /^(Get|List|Find|Search|Query|Count|Lookup|Describe|Read|Fetch|Check|Has|Is|BatchGet)(?![a-z])/;
/** And yet a change: a query may be asked twice, shared and sent by GET. */
const changingName = new RegExp(
  `(Or|And)(${[
    ...['Add', 'Claim', 'Clear', 'Consume', 'Create', 'Delete', 'Increment', 'Insert', 'Lock'],
    ...['Mark', 'Pop', 'Put', 'Register', 'Remove', 'Reset', 'Save', 'Set', 'Update', 'Upsert'],
  ].join('|')})(?![a-z])`,
);

/**
 * The methods that are fields, by the rules of the configuration. A method is a query where a rule says so, or it says of
 * itself that it has no side effects, or its name does; otherwise a mutation. One that streams its answer is a
 * subscription; one that takes a stream is none of them.
 *
 * @throws CountersignError ERR_ROUTER_PROTO
 */
export function selectMethods({ methods }: ProtoSchema, config: GrpcConfig): MethodBinding[] {
  const { services, queries, mutations, omit, names } = config;
  const offered = methods.filter(({ service }) =>
    services === undefined ? !ofTheServer.test(service) : services.includes(service),
  );
  for (const service of services ?? []) {
    if (!methods.some((each) => each.service === service)) {
      throw wrong(`services: no service "${service}" is described`);
    }
  }
  for (const [key, patterns] of Object.entries({ queries, mutations, omit })) {
    for (const pattern of patterns) {
      if (!offered.some((method) => isMeant(method, pattern))) {
        throw wrong(`${key}: "${pattern}" is no method of ${listOf(offered)}`);
      }
    }
  }
  const isOne = (method: ProtoMethod, patterns: readonly string[]) =>
    patterns.some((pattern) => isMeant(method, pattern));
  const bindings: MethodBinding[] = [];
  for (const method of offered) {
    if (isOne(method, omit)) continue;
    const isNamed = isOne(method, queries) || isOne(method, mutations);
    if (method.isClientStream) {
      if (isNamed) throw wrong(`"${method.path}" takes a stream, which no field of GraphQL does`);
      continue;
    }
    if (isNamed && method.isServerStream) {
      throw wrong(`"${method.path}" streams its answer: it is a subscription`);
    }
    const isQuery =
      isOne(method, queries) ||
      (!isOne(method, mutations) && (method.isSafe || isReading(method.name)));
    const unary = isQuery ? 'Query' : 'Mutation';
    const root = method.isServerStream ? 'Subscription' : unary;
    bindings.push({ root, field: names[method.path] ?? lowerFirst(method.name), method });
  }
  checkDoubles(bindings);
  if (bindings.length === 0) throw wrong('no method is left that could be a field');
  return bindings;
}

/** `Method`, `Service/Method` or `package.Service/Method`; `*` stands for any part of a name. */
export function isMeant({ path, name, service }: ProtoMethod, pattern: string): boolean {
  const short = `${service.slice(service.lastIndexOf('.') + 1)}/${name}`;
  const parts = pattern.split('*').map((part) => part.replace(/[.\\^$+?()[\]{}|]/g, '\\$&'));
  const expression = new RegExp(`^${parts.join('[^/]*')}$`);
  return [path, short, name].some((text) => expression.test(text));
}

function isReading(name: string): boolean {
  return readingName.test(name) && !changingName.test(name);
}

function checkDoubles(bindings: readonly MethodBinding[]): void {
  const known = new Map<string, string>();
  for (const { root, field, method } of bindings) {
    const place = `${root}.${field}`;
    const other = known.get(place);
    if (other !== undefined) {
      throw wrong(`"${method.path}" and "${other}" are both "${place}"; "names" tells them apart`);
    }
    known.set(place, method.path);
  }
}

function listOf(methods: readonly ProtoMethod[]): string {
  const all = methods.map(({ path }) => `"${path}"`);
  if (all.length === 0) return 'none';
  return all.length <= 20 ? all.join(', ') : `${all.slice(0, 20).join(', ')} and others`;
}

function lowerFirst(name: string): string {
  return name.slice(0, 1).toLowerCase() + name.slice(1);
}
