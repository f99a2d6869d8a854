import { CountersignError } from '@countersign/base';
import { expectedIds, type RouterConfig, readSubgraphUrl } from '../config/router-config.ts';
import type { SubgraphSettings } from './subgraph-client.ts';

/**
 * How a subgraph is called: what the configuration says of it, or the defaults.
 *
 * @param announcedUrl the one of the supergraph, where the configuration has none
 * @throws CountersignError ERR_ROUTER_PLAINTEXT, ERR_ROUTER_SUPERGRAPH
 */
export function subgraphSettings(
  config: RouterConfig,
  name: string,
  announcedUrl: string | undefined,
): SubgraphSettings {
  const own = config.subgraphs.find((each) => each.name === name);
  const url = readUrl(name, own?.url ?? announcedUrl, own?.grpc !== undefined);
  const isMtls = own?.mtls.enabled ?? config.mtls.enabled;
  const allowFallback = own?.mtls.allow_fallback ?? config.mtls.allow_fallback;
  if (isMtls && url.protocol !== 'https:') {
    const sides = `subgraph "${name}" is at "${url.href}", mTLS needs https://`;
    throw new CountersignError('ERR_ROUTER_PLAINTEXT', sides, { fields: { subgraph: name } });
  }
  return {
    name,
    url,
    protocol: own?.grpc === undefined ? 'graphql' : 'grpc',
    transport: isMtls ? 'mtls' : 'plaintext',
    spiffeIds: expectedIds(config, name),
    verifyHostname: own?.mtls.verify_hostname ?? config.mtls.verify_hostname,
    allowFallback: isMtls && allowFallback,
    timeoutMs: own?.timeout ?? 30_000,
    retry: { attempts: own?.retry.attempts ?? 1, backoffMs: own?.retry.backoff ?? 50 },
    maxResponseBytes: config.limits.max_response_bytes,
    setHeaders: Object.entries({ ...config.headers.set, ...own?.headers.set }).flat(),
    subscriptions: {
      protocol: own?.subscriptions.protocol ?? 'sse',
      path: own?.subscriptions.path ?? `${url.pathname}${url.search}`,
    },
    propagate: [...new Set([...config.headers.propagate, ...(own?.headers.propagate ?? [])])],
  };
}

function readUrl(name: string, text: string | undefined, isGrpc: boolean): URL {
  const url = text === undefined ? undefined : readSubgraphUrl(text, isGrpc);
  if (url !== undefined) return url;
  const expected = isGrpc ? 'grpcs://host[:port]' : 'https://host[:port][/path]';
  throw new CountersignError(
    'ERR_ROUTER_SUPERGRAPH',
    `subgraph "${name}" has the URL "${text ?? ''}", ${expected} is expected`,
    { hint: 'set subgraphs[].url in router.yaml' },
  );
}
