import { parseYamlDocuments, type SourceDocument, unsupported } from '@countersign/config';
import { type AuthorizationPolicy, readAuthorizationPolicy } from './authorization-policy.ts';
import { type IstioGateway, readIstioGateway } from './istio-gateway.ts';
import { type PeerAuthentication, readPeerAuthentication } from './peer-authentication.ts';
import { type RequestAuthentication, readRequestAuthentication } from './request-authentication.ts';

/** All documents that together decide who may do what. */
export interface IstioPolicies {
  readonly authorization: readonly AuthorizationPolicy[];
  readonly peers: readonly PeerAuthentication[];
  readonly tokens: readonly RequestAuthentication[];
  readonly gateways: readonly IstioGateway[];
}

/** The kinds of documents that {@link readIstioPolicies} takes. */
export const policyKinds = [
  'AuthorizationPolicy',
  'PeerAuthentication',
  'RequestAuthentication',
  'Gateway',
] as const;

/** A mesh's policies in one file may be many. */
const limits = { maxBytes: 32 * 1024 * 1024, maxDocuments: 20_000, maxAliasCount: 10_000 };

/**
 * Reads a text of any number of these documents.
 *
 * @throws ConfigError
 */
export function parseIstioPolicies(text: string, file: string): IstioPolicies {
  return readIstioPolicies(parseYamlDocuments(text, file, limits));
}

/**
 * Sorts documents by their kind and reads each.
 *
 * @throws ConfigError of the first document that cannot be read, with every issue of it
 */
export function readIstioPolicies(documents: readonly SourceDocument[]): IstioPolicies {
  const authorization: AuthorizationPolicy[] = [];
  const peers: PeerAuthentication[] = [];
  const tokens: RequestAuthentication[] = [];
  const gateways: IstioGateway[] = [];
  const readers: Readonly<Record<string, (document: SourceDocument) => unknown>> = {
    PeerAuthentication: (document) => peers.push(readPeerAuthentication(document)),
    RequestAuthentication: (document) => tokens.push(readRequestAuthentication(document)),
    Gateway: (document) => gateways.push(readIstioGateway(document)),
  };
  for (const document of documents) {
    const kind = kindOf(document);
    const read = readers[kind ?? ''];
    if (read !== undefined) read(document);
    else if (kind === undefined || kind === 'AuthorizationPolicy') {
      authorization.push(readAuthorizationPolicy(document));
    } else throw unsupported(document, ['kind'], `kind "${kind}" as a policy`);
  }
  return { authorization, peers, tokens, gateways };
}

export function joinPolicies(all: readonly IstioPolicies[]): IstioPolicies {
  return {
    authorization: all.flatMap(({ authorization }) => authorization),
    peers: all.flatMap(({ peers }) => peers),
    tokens: all.flatMap(({ tokens }) => tokens),
    gateways: all.flatMap(({ gateways }) => gateways),
  };
}

function kindOf({ value }: SourceDocument): string | undefined {
  const kind =
    typeof value === 'object' && value !== null && 'kind' in value ? value.kind : undefined;
  return typeof kind === 'string' ? kind : undefined;
}
