import { isAnonymous, type PeerOf } from '@countersign/mtls';
import {
  clientCertHeaders,
  formatXfcc,
  nameForHeader,
  subjectForHeader,
  xfccHeader,
} from '@countersign/wire';
import { formatName, type GeneralName } from '@countersign/x509';
import type { RouterConfig } from './config/router-config.ts';
import { type Caller, matchesPrincipal, stranger } from './operation/caller.ts';

/** Who the peer of a connection is to the rules of the configuration. */
export function callerOf(peer: PeerOf, { authorization }: RouterConfig): Caller {
  if (isAnonymous(peer)) return stranger;
  const spiffeId = peer.spiffeId?.toString();
  const roles = Object.entries(authorization.roles)
    .filter(([, patterns]) => matchesPrincipal(spiffeId, patterns))
    .map(([role]) => role);
  return { spiffeId, peer, roles: new Set(roles), claims: undefined };
}

/**
 * What subgraphs are told of a caller, names and values alternating: as the gateway tells it. Nothing of a stranger.
 *
 * @param by our own SPIFFE ID
 */
export function callerHeaders({ peer }: Caller, by: string): readonly string[] {
  if (peer === undefined) return [];
  const xfcc = formatXfcc({
    by: [by],
    hash: peer.fingerprint,
    subject: subjectForHeader(formatName(peer.leaf.subject)),
    uri: valuesOf(peer.names, 'uri'),
    dns: valuesOf(peer.names, 'dns'),
  });
  return [xfccHeader, xfcc, ...Object.entries(clientCertHeaders(peer.chain)).flat()];
}

function valuesOf(names: readonly GeneralName[], kind: 'uri' | 'dns'): string[] {
  return names.flatMap((name) => (name.kind === kind ? [nameForHeader(name.value)] : []));
}
