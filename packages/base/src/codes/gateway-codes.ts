import type { CodeFamily } from '../code-row.ts';

export const gatewayCodes = {
  ERR_GATEWAY_TARGET: {
    meaning: 'A request has a target whose meaning proxies and servers would disagree about.',
    hint: 'send an absolute path without dot segments, empty segments and encoded slashes, such as /orders/7',
    exit: 1,
  },
  ERR_GATEWAY_TOKEN_HEADER: {
    meaning:
      'A RequestAuthentication tells claims in a header that only the gateway itself writes.',
    hint: 'choose another name for outputPayloadToHeader or outputClaimToHeaders, such as x-jwt-sub',
    exit: 2,
  },
  ERR_GATEWAY_NO_UPGRADE: {
    meaning: 'A request asks for a WebSocket on a listener that takes none.',
    hint: 'say upgrade_configs: [{ upgrade_type: websocket }] in the listener, as Envoy needs it too',
    exit: 1,
  },
  ERR_GATEWAY_FRAMING: {
    meaning: 'A request says in two ways, or wrongly, where its body ends.',
    hint: 'send either one content-length or transfer-encoding: chunked; this is how requests are smuggled',
    exit: 1,
  },
  ERR_GATEWAY_HOST: {
    meaning: 'A request has no host header, or several, or one that is no host name.',
    hint: 'send exactly one host header',
    exit: 1,
  },
  ERR_GATEWAY_MISDIRECTED: {
    meaning: 'A request is for another host than the one that its connection was opened for.',
    hint: 'open a connection of its own for each host name, so that the server name (SNI) and the host header agree',
    exit: 1,
  },
  ERR_GATEWAY_UPGRADE: {
    meaning: 'A request asks for a protocol upgrade or a tunnel that the gateway does not do.',
    hint: 'WebSocket is done (RFC 6455, RFC 8441); for other bytes use a listener of protocol tcp',
    exit: 1,
  },
  ERR_GATEWAY_MALFORMED: {
    meaning: 'What a client sent is no HTTP/1.1 request, or its head is too large or too slow.',
    hint: "the log line has the parser's reason; `limits` in gateway.yaml has the sizes and times",
    exit: 1,
  },
  ERR_GATEWAY_FLOOD: {
    meaning:
      'A client sent more HTTP/2 control frames than anybody needs; its connection was ended.',
    hint: 'look who it is in the log line; a client that means well can connect again',
    exit: 1,
  },
  ERR_GATEWAY_DEADLINE: {
    meaning:
      'The deadline that a gRPC client gave its call is over, and the upstream has not answered.',
    hint: 'look at the service, or give the call more time',
    exit: 3,
  },
  ERR_GATEWAY_BODY_TOO_LARGE: {
    meaning: 'A request body is larger than the gateway lets through.',
    hint: 'raise `limits.maxBodyBytes` in gateway.yaml if such bodies are wanted',
    exit: 1,
  },
  ERR_GATEWAY_RATE_LIMITED: {
    meaning: 'A caller asks more often than a limit of its listener or route lets it.',
    hint: 'wait for as long as the retry-after header says; `rateLimits` in gateway.yaml has the limit of the message',
    exit: 1,
  },
  ERR_GATEWAY_NO_ROUTE: {
    meaning: 'A permitted request matches no route of gateway.yaml.',
    hint: 'add a route whose `match` covers the host and path of the message',
    exit: 1,
  },
  ERR_GATEWAY_RESTART: {
    meaning: 'A reloaded configuration changes something that only a restart can change.',
    hint: 'restart the gateway; until then the old configuration stays in force, whole',
    exit: 2,
  },
  ERR_GATEWAY_SELF_REVOKED: {
    meaning:
      "The gateway's own certificate is revoked: it lets nobody in, for it no longer hears who else is revoked.",
    hint: "enrol the gateway anew into its identity's directory with `countersign enrol`, then send it SIGHUP",
    exit: 1,
  },
  ERR_PEER_UNLOGGED: {
    meaning:
      "A peer's certificate is trusted and not in the issuance log that the gateway requires: somebody signed it past the log.",
    hint: "find out who holds the intermediate's key; if the log's key has changed, pin the new one in `issuanceLog.key`",
    exit: 1,
  },
  ERR_PEER_LOG_SILENT: {
    meaning:
      "Whether a peer's certificate is in the issuance log could not be found out in time, and the gateway requires it.",
    hint: 'look whether the authority serves its log; `issuanceLog` in gateway.yaml has the wait, and `onSilence`',
    exit: 3,
  },
  ERR_GATEWAY_OVERLOADED: {
    meaning:
      'The gateway has more work than it gets done in time, and turns some of it away so that the rest is answered soon.',
    hint: 'try again after the seconds of Retry-After; run more gateways, or raise `limits.maxLateness`',
    exit: 3,
  },
  ERR_GATEWAY_IDENTITY_BUSY: {
    meaning: 'One identity has as many requests under way as it may have at a time.',
    hint: 'wait for answers before asking more, or raise `limits.maxRequestsPerIdentity`',
    exit: 3,
  },
  ERR_GATEWAY_STOPPING: {
    meaning: 'A request arrived while the gateway was shutting down.',
    hint: 'send it again on another connection',
    exit: 3,
  },
  ERR_UPSTREAM_NO_ENDPOINT: {
    meaning: 'A route leads to a cluster that has no address to send a request to.',
    hint: "look at the cluster's endpoints, and whether their names can be looked up",
    exit: 3,
  },
  ERR_UPSTREAM_OVERLOADED: {
    meaning: 'As many requests are under way to a cluster as its limits let through.',
    hint: "raise the cluster's limits if its endpoints can bear more, or add endpoints",
    exit: 3,
  },
  ERR_UPSTREAM_UNREACHABLE: {
    meaning: 'The upstream of a route could not be connected to.',
    hint: 'check that the service runs at the address in gateway.yaml',
    exit: 3,
  },
  ERR_UPSTREAM_IDENTITY: {
    meaning:
      "What answers at the upstream's address did not prove the identity that the route expects.",
    hint: 'compare `upstream.spiffeId` in gateway.yaml with the identity in the log line',
    exit: 1,
  },
  ERR_UPSTREAM_TIMEOUT: {
    meaning: 'The upstream did not answer within the time that the route gives it.',
    hint: 'look at the service, or raise `upstream.timeout` in gateway.yaml',
    exit: 3,
  },
  ERR_UPSTREAM_PROTOCOL: {
    meaning: 'The upstream of a route does not speak the protocol that a request needs.',
    hint: 'set `upstream.protocol` in gateway.yaml to what the service speaks: h1, h2, or auto to ask it; gRPC needs h2',
    exit: 1,
  },
  ERR_UPSTREAM_BROKE: {
    meaning: 'The upstream broke off, or answered with something that is no HTTP/1.1 response.',
    hint: 'look at the log of the service',
    exit: 3,
  },
} as const satisfies CodeFamily;
