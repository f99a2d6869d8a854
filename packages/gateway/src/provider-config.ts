import { isIP } from 'node:net';
import { configIssue, durationSchema, type SourceDocument } from '@countersign/config';
import { z } from 'zod';

export type ProviderConfig = z.output<typeof providerSchema>;

/** An HTTP `ext_authz` service; keys as Istio's `envoyExtAuthzHttp` has them. */
export const providerSchema = z.strictObject({
  name: z.string().min(1),
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
  includeRequestHeadersInCheck: z.array(z.string().min(2)).default([]),
  includeAdditionalHeadersInCheck: z.record(z.string(), z.string()).default({}),
});

/** @throws ConfigError */
export function checkProviders(
  document: SourceDocument,
  providers: readonly ProviderConfig[],
): void {
  for (const [index, provider] of providers.entries()) {
    const path = ['authorization', 'providers', index];
    const wrong = wrongWithProvider(provider);
    const isTwice = providers.findIndex(({ name }) => name === provider.name) !== index;
    if (wrong === undefined && !isTwice) continue;
    const message = isTwice
      ? `a second provider "${provider.name}"`
      : `url "${provider.url}" ${wrong}`;
    throw configIssue(document, [...path, isTwice ? 'name' : 'url'], 'ERR_CONFIG_VALUE', message);
  }
}

/** What is wrong with the address of a provider, as the end of a sentence. */
function wrongWithProvider({ url, spiffeId }: Pick<ProviderConfig, 'url' | 'spiffeId'>) {
  if (!URL.canParse(url)) return 'is no address';
  const { protocol, hostname, pathname, search } = new URL(url);
  if (pathname !== '/' || search !== '') return 'has a path, which is what "pathPrefix" is for';
  if (protocol === 'https:') {
    return spiffeId === undefined ? 'needs the "spiffeId" that has to answer there' : undefined;
  }
  if (protocol !== 'http:') return 'is neither http:// nor https://';
  const isHere =
    hostname === 'localhost' ||
    hostname === '[::1]' ||
    (isIP(hostname) === 4 && hostname.startsWith('127.'));
  return isHere
    ? undefined
    : 'is clear text to another machine, expected https:// and a "spiffeId"';
}
