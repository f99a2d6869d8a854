import { readDocument, type SourceDocument } from '@countersign/config';
import { z } from 'zod';
import { isOnThisMachine, type ProviderConfig, providerSchema } from '../provider-config.ts';

const ofEvery = z.strictObject(providerSchema.shape).pick({
  ...{ timeout: true, failOpen: true, statusOnError: true, includeRequestBodyInCheck: true },
}).shape;
const ofHttp = z.strictObject(providerSchema.shape).pick({
  ...{ pathPrefix: true, includeRequestHeadersInCheck: true },
  ...{ includeAdditionalHeadersInCheck: true, headersToUpstreamOnAllow: true },
  ...{ headersToDownstreamOnAllow: true, headersToDownstreamOnDeny: true },
}).shape;

const place = {
  /** `[NAMESPACE/]HOST` */
  service: z
    .string()
    .regex(/^(?:[a-z0-9-]+\/)?(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])$/, 'expected a host name')
    .refine((service) => isOnThisMachine(service.replace(/^.*\//, '')), {
      error:
        'would be asked in clear text on another machine, write it among authorization.providers with https:// and a "spiffeId"',
    }),
  port: z.int().min(1).max(65_535),
  /** Routes are chosen after the answer anyway. */
  clearRouteCache: z.boolean().optional(),
};

const httpSchema = z.strictObject({
  ...place,
  ...ofEvery,
  ...ofHttp,
  /** Istio's older word for the same. */
  includeHeadersInCheck: z.array(z.string().min(2)).optional(),
});
const grpcSchema = z.strictObject({ ...place, ...ofEvery });

interface Written {
  readonly name: string;
  readonly envoyExtAuthzHttp?: unknown;
  readonly envoyExtAuthzGrpc?: unknown;
}

/**
 * The `extensionProviders` of a MeshConfig that authorize, as the gateway has them; those for other ends are not its
 * matter. Where Istio would wait ten minutes for an answer, a provider has a second unless it says otherwise.
 *
 * @throws ConfigError for the first of them that is wrong, with every issue of it
 */
export function meshProviders(
  document: SourceDocument,
  written: readonly Written[],
): readonly ProviderConfig[] {
  return written.flatMap((each, index) => {
    const within = (key: string, value: unknown) =>
      part(document, ['authorization', 'mesh', 'extensionProviders', index, key], value);
    if (each.envoyExtAuthzHttp !== undefined) {
      const source = within('envoyExtAuthzHttp', each.envoyExtAuthzHttp);
      const { includeHeadersInCheck = [], ...read } = readDocument(httpSchema, source);
      const chosen = [...read.includeRequestHeadersInCheck, ...includeHeadersInCheck];
      return [providerOf(each.name, 'http', { ...read, includeRequestHeadersInCheck: chosen })];
    }
    if (each.envoyExtAuthzGrpc === undefined) return [];
    const source = within('envoyExtAuthzGrpc', each.envoyExtAuthzGrpc);
    return [providerOf(each.name, 'grpc', readDocument(grpcSchema, source))];
  });
}

function providerOf(
  name: string,
  protocol: ProviderConfig['protocol'],
  read: z.output<typeof grpcSchema> | Omit<z.output<typeof httpSchema>, 'includeHeadersInCheck'>,
): ProviderConfig {
  const { service, port, clearRouteCache: _, ...rest } = read;
  const url = `http://${service.replace(/^.*\//, '')}:${port}`;
  return providerSchema.parse({ name, protocol, url, ...rest });
}

function part(document: SourceDocument, path: (string | number)[], value: unknown): SourceDocument {
  return {
    ...{ file: document.file, value },
    positionOf: (inner, which) => document.positionOf([...path, ...inner], which),
  };
}
