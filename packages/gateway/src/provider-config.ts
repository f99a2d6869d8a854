import { isIP } from 'node:net';
import { configIssue, durationSchema, type SourceDocument } from '@countersign/config';
import { z } from 'zod';
import { headerNames, headerText } from './model/header-schema.ts';

export type ProviderConfig = z.output<typeof providerSchema>;

const patterns = z.array(z.string().min(2)).default([]);

/** An `ext_authz` service; keys as Istio's `envoyExtAuthzHttp` and `envoyExtAuthzGrpc` have them. */
export const providerSchema = z.strictObject({
  name: z.string().min(1),
  /** How it is spoken to. */
  protocol: z.enum(['http', 'grpc']).default('http'),
  /** `http://127.0.0.1:port`, or `https://host[:port]` with `spiffeId`. */
  url: z.string(),
  spiffeId: z.string().startsWith('spiffe://').optional(),
  pathPrefix: z
    .string()
    .regex(/^(?:\/[^?#\s]*[^/?#\s])?$/, 'expected a path without a slash at its end')
    .default(''),
  timeout: durationSchema().default(1000),
  /** Whether a request is let through that it cannot be asked about. */
  failOpen: z.boolean().default(false),
  /** Names, or their beginning or end with a star. */
  includeRequestHeadersInCheck: patterns,
  includeAdditionalHeadersInCheck: z.record(headerNames.request, headerText).default({}),
  /** What a caller is answered where it cannot be asked; the gateway's own 403 unless given. */
  statusOnError: z.coerce.number().int().min(400).max(599).optional(),
  /** How much of a request's body it is shown; none unless given. */
  includeRequestBodyInCheck: z
    .strictObject({
      maxRequestBytes: z.int().min(1).max(1_048_576),
      /** Whether it is shown the beginning of longer ones; 413 otherwise. */
      allowPartialMessage: z.boolean().default(false),
      /** gRPC alone: as bytes instead of text. */
      packAsBytes: z.boolean().default(false),
    })
    .optional(),
  /** Of its answers, by names or patterns. */
  headersToUpstreamOnAllow: patterns,
  headersToDownstreamOnAllow: patterns,
  /** All where none are named. */
  headersToDownstreamOnDeny: patterns,
});

/** @throws ConfigError */
export function checkProviders(
  document: SourceDocument,
  providers: readonly ProviderConfig[],
): void {
  for (const [index, provider] of providers.entries()) {
    const path = ['authorization', 'providers', index];
    const wrong = wrongWithProvider(provider);
    const foreign = wrongForGrpc(provider);
    if (foreign !== undefined) {
      const message = `${foreign} is for http, the protocol is grpc`;
      throw configIssue(document, [...path, foreign], 'ERR_CONFIG_VALUE', message, 'key');
    }
    const isTwice = providers.findIndex(({ name }) => name === provider.name) !== index;
    if (wrong === undefined && !isTwice) continue;
    const message = isTwice
      ? `a second provider "${provider.name}"`
      : `url "${provider.url}" ${wrong}`;
    throw configIssue(document, [...path, isTwice ? 'name' : 'url'], 'ERR_CONFIG_VALUE', message);
  }
}

/** A key that says nothing to a gRPC service, which is shown all headers and says itself what becomes of which. */
function wrongForGrpc(provider: ProviderConfig): string | undefined {
  if (provider.protocol === 'http') return undefined;
  const { pathPrefix, includeAdditionalHeadersInCheck: additional } = provider;
  if (pathPrefix !== '') return 'pathPrefix';
  if (Object.keys(additional).length > 0) return 'includeAdditionalHeadersInCheck';
  return ofHttp.find((key) => provider[key].length > 0);
}

const ofHttp = [
  'includeRequestHeadersInCheck',
  'headersToUpstreamOnAllow',
  'headersToDownstreamOnAllow',
  'headersToDownstreamOnDeny',
] as const;

/** What is wrong with the address of a provider, as the end of a sentence. */
function wrongWithProvider({ url, spiffeId }: Pick<ProviderConfig, 'url' | 'spiffeId'>) {
  if (!URL.canParse(url)) return 'is no address';
  const { protocol, hostname, pathname, search } = new URL(url);
  if (pathname !== '/' || search !== '') return 'has a path, which is what "pathPrefix" is for';
  if (protocol === 'https:') {
    return spiffeId === undefined ? 'needs the "spiffeId" that has to answer there' : undefined;
  }
  if (protocol !== 'http:') return 'is neither http:// nor https://';
  return isOnThisMachine(hostname)
    ? undefined
    : 'is clear text to another machine, expected https:// and a "spiffeId"';
}

/** @param hostname IPv6 in brackets */
export function isOnThisMachine(hostname: string): boolean {
  if (hostname === 'localhost' || hostname === '[::1]') return true;
  return isIP(hostname) === 4 && hostname.startsWith('127.');
}
