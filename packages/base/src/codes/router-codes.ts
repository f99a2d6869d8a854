import type { CodeFamily } from '../code-row.ts';

export const routerCodes = {
  ERR_ROUTER_SUPERGRAPH: {
    meaning: 'The supergraph could not be read, composed or fetched.',
    hint: 'the message has the subgraph and the reason; composition errors name the field and both subgraphs',
    exit: 2,
  },
  ERR_ROUTER_PLANNER: {
    meaning: 'The query planner is not there for this machine, or refused the supergraph.',
    hint: 'npm ships it for Linux (glibc) and macOS, on x64 and arm64; install without --omit=optional',
    exit: 2,
  },
  ERR_ROUTER_PLAINTEXT: {
    meaning: 'A subgraph would have to be called in plaintext, and that was not chosen.',
    hint: 'write https:// in its url; mtls.enabled: false chooses plaintext for all, subgraphs[].mtls.enabled for one',
    exit: 2,
  },
  ERR_ROUTER_FALLBACK: {
    meaning:
      'Plaintext as a fallback (allow_fallback) is set in production, where it must be forced.',
    hint: 'leave it out; --force-fallback says that you mean it',
    exit: 2,
  },
  ERR_ROUTER_PROTO: {
    meaning:
      'What describes a gRPC subgraph cannot be read, or does not fit into a GraphQL schema.',
    hint: 'write the set with `protoc --include_imports --descriptor_set_out=FILE`; subgraphs[].grpc.names settles names',
    exit: 2,
  },
  ERR_ROUTER_JWKS: {
    meaning: 'The key set that tokens are verified with cannot be used.',
    hint: 'give a JWKS with RSA, P-256, P-384 or Ed25519 public keys as jwt.jwks',
    exit: 2,
  },
  ERR_GRAPHQL_TOKEN: {
    meaning: 'A caller showed a token that does not verify.',
    hint: 'the log has the reason; a request without a token is judged by its certificate alone',
    exit: 1,
  },
  ERR_ROUTER_RESTART: {
    meaning: 'A reloaded router.yaml changes something that only a restart can change.',
    hint: 'restart the router; until then the old configuration stays in force, whole',
    exit: 2,
  },
  ERR_GRAPHQL_REQUEST: {
    meaning:
      'A request is not one of GraphQL over HTTP: its method, headers, encoding or parameters.',
    hint: 'POST application/json with a "query", as the GraphQL over HTTP specification has it',
    exit: 1,
  },
  ERR_GRAPHQL_CSRF: {
    meaning:
      'A request could have been sent by a web page of somebody else without being asked for.',
    hint: 'send content-type: application/json, or a header apollo-require-preflight or x-graphql-require-preflight',
    exit: 1,
  },
  ERR_GRAPHQL_UPLOAD: {
    meaning:
      'A request with files is not as the GraphQL multipart request specification has it, or its files cannot be passed on.',
    hint: 'send "operations", "map" and then each file of the map; files of one request go to one fetch of one subgraph',
    exit: 1,
  },
  ERR_GRAPHQL_LIMIT: {
    meaning: 'A request is deeper, larger or costlier than the limits of router.yaml.',
    hint: 'the message has the limit; `limits` in router.yaml sets them',
    exit: 1,
  },
  ERR_GRAPHQL_DOCUMENT: {
    meaning: 'A GraphQL document cannot be parsed, or is not valid for the schema.',
    hint: 'each error has its place in the document',
    exit: 1,
  },
  ERR_GRAPHQL_VARIABLES: {
    meaning: 'The variables of a request do not fit their types.',
    hint: 'the message names the variable and what was expected',
    exit: 1,
  },
  ERR_GRAPHQL_INTROSPECTION: {
    meaning: 'A request asks for the schema, which this router does not show.',
    hint: 'introspection: true in router.yaml shows it',
    exit: 1,
  },
  ERR_GRAPHQL_PERSISTED: {
    meaning: 'A persisted operation is not known, or only persisted ones are let through.',
    hint: 'send the query with its hash once, or add it to the safelist of router.yaml',
    exit: 1,
  },
  ERR_GRAPHQL_DENIED: {
    meaning: 'A field, type or argument is not for the caller.',
    hint: "`countersign router explain --as ID 'QUERY'` says which rule, and why",
    exit: 1,
  },
  ERR_SUBGRAPH_UNAVAILABLE: {
    meaning:
      'A part of an answer is missing since its subgraph gave none; callers are told no more than that.',
    hint: "the router's log has the reason under the id of the error",
    exit: 3,
  },
  ERR_SUBGRAPH_UNREACHABLE: {
    meaning: 'A subgraph could not be connected to.',
    hint: 'check that it runs at the address of subgraphs[].url',
    exit: 3,
  },
  ERR_SUBGRAPH_IDENTITY: {
    meaning:
      'What answers at the address of a subgraph did not prove the identity that is expected.',
    hint: 'compare the reason of the log line with subgraphs[].spiffe_id; nothing was sent there',
    exit: 1,
  },
  ERR_SUBGRAPH_TIMEOUT: {
    meaning: 'A subgraph did not answer in time.',
    hint: 'look at the service, or raise subgraphs[].timeout in router.yaml',
    exit: 3,
  },
  ERR_SUBGRAPH_STATUS: {
    meaning: 'A method of a gRPC subgraph answered with a status other than OK.',
    hint: "the router's log has the status and its message under the id of the error",
    exit: 3,
  },
  ERR_SUBGRAPH_RESPONSE: {
    meaning: 'A subgraph answered with something that is no GraphQL response, or broke off.',
    hint: 'the log line has the status and the beginning of what it sent',
    exit: 3,
  },
} as const satisfies CodeFamily;
