import type { IpAddress } from './ip-block.ts';
import type { MatchesText } from './text-match.ts';

/** The names by which a certificate is known, in the order in which Envoy looks at them. */
export interface PeerNames {
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** RFC 4514; empty where there is none, and for TLS without a client certificate. */
  readonly subject: string;
}

/** TLS without a certificate has no name, which is another thing than no TLS. */
export const noNames: PeerNames = { uris: [], dnsNames: [], subject: '' };

export type Claims = Readonly<Record<string, unknown>>;

/** What rules look at, taken from a question once. */
export interface RuleFacts {
  /** Undefined: the connection is no TLS. */
  readonly names: PeerNames | undefined;
  /** Of the handshake, lowercase; empty where there is none. */
  readonly serverName: string;
  /** Who is at the other end of the connection. */
  readonly sourceIp: IpAddress | undefined;
  /** Who began it all, as far as trusted proxies tell; the source's where there is none. */
  readonly remoteIp: IpAddress | undefined;
  readonly destinationIp: IpAddress | undefined;
  readonly destinationPort: number | undefined;
  /** Undefined: no request yet, or a connection that has none. */
  readonly request: RequestFacts | undefined;
  /** What filters left for rules under their own names, such as our identity roles. */
  metadata(filter: string): Claims | undefined;
}

export interface RequestFacts {
  readonly method: string;
  /** Normalised, without the query. */
  readonly path: string;
  /** As sent, with its port. */
  readonly host: string;
  /** Of a verified token. */
  readonly claims: Claims | undefined;
  /** Whether a header of this lowercase name is there, and matches; each line of it counts by itself. */
  hasHeader(name: string, matches: MatchesText | undefined): boolean;
  headerValues(name: string): readonly string[];
}
