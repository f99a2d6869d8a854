import type { CompiledRule, RuleSet } from '@countersign/authz';
import type { Clock } from '@countersign/base';
import {
  describePeer,
  isAnonymous,
  type LiveConnection,
  type TlsIdentity,
} from '@countersign/mtls';
import { type Certificate, formatName } from '@countersign/x509';
import type { Credentials } from '../files/credentials.ts';
import type { GatewayConfig } from '../gateway-config.ts';
import type { Session } from '../session.ts';
import type { AdminView, ConnectionsWanted } from './admin-pages.ts';
import { hideSecrets } from './hide-secrets.ts';

export interface GatewayViewOptions extends Pick<AdminView, 'unready' | 'logLevel' | 'drain'> {
  readonly config: () => GatewayConfig;
  readonly rules: () => RuleSet;
  readonly credentials: Pick<Credentials, 'identityOf' | 'trustOf'>;
  /** Whether there is an identity beside those of files. */
  readonly hasOwn: boolean;
  readonly connections: () => Iterable<LiveConnection>;
  readonly sessionOf: (connection: LiveConnection) => Session | undefined;
  readonly clock: Clock;
}

/** What a gateway, sidecar or tunnel shows of itself to its operator. */
export function gatewayView(options: GatewayViewOptions): AdminView {
  const { unready, logLevel, drain } = options;
  return {
    ...{ unready, logLevel, drain },
    configDump: () => {
      const { listeners: _, writesListeners: __, routes: ___, ...config } = options.config();
      return hideSecrets({ ...config, policies: policiesOf(options.rules()) }) as object;
    },
    certificates: () => certificatesOf(options),
    connections: (wanted) => connectionsOf(options, wanted),
  };
}

/** By what they do, in the order in which they are asked. */
function policiesOf({ http }: RuleSet): object {
  const named = (rules: readonly CompiledRule[]) => [...new Set(rules.map(({ policy }) => policy))];
  const { customs, denies, audits, allowPolicies } = http;
  return {
    ...{ custom: named(customs), deny: named(denies), allow: allowPolicies, audit: named(audits) },
  };
}

function certificatesOf({ config, credentials, hasOwn }: GatewayViewOptions): object {
  const { identities, trusts } = config().model;
  const own = hasOwn ? ['own' as const] : [];
  return {
    identities: [...own, ...identities].map((each) => ({
      name: nameOf(each),
      ...shown(() => identityOf(credentials.identityOf(each).svid())),
    })),
    trusts: [...own, ...trusts].map((each) => ({
      name: nameOf(each),
      ...shown(() => {
        const { bundles } = credentials.trustOf(each);
        return { authorities: (bundles.authorities?.() ?? []).map(describe) };
      }),
    })),
  };
}

function nameOf(each: 'own' | { readonly name: string }): string {
  return each === 'own' ? 'own' : each.name;
}

/** What cannot be shown says why. */
function shown(what: () => object): object {
  try {
    return what();
  } catch (thrown) {
    return { failure: thrown instanceof Error ? thrown.message : String(thrown) };
  }
}

function identityOf({ spiffeId, chain }: TlsIdentity): object {
  return { spiffeId: spiffeId?.toString(), chain: chain.map(describe) };
}

function describe({ subject, issuer, serialHex, notBefore, notAfter }: Certificate): object {
  return {
    subject: formatName(subject),
    issuer: formatName(issuer),
    serial: serialHex,
    notBefore: new Date(notBefore).toISOString(),
    notAfter: new Date(notAfter).toISOString(),
  };
}

function connectionsOf(
  { connections, sessionOf, clock }: GatewayViewOptions,
  { spiffeId, direction, limit }: ConnectionsWanted,
): object {
  const isWanted = testOf(spiffeId);
  const now = clock.now();
  const found: object[] = [];
  let total = 0;
  for (const each of connections()) {
    if (direction !== undefined && each.facts.direction !== direction) continue;
    if (!isWanted(each)) continue;
    total += 1;
    if (found.length < limit) found.push(lineOf(each, sessionOf(each), now));
  }
  return { total, connections: found };
}

function testOf(wanted: string | undefined): (connection: LiveConnection) => boolean {
  if (wanted === undefined) return () => true;
  const prefix = wanted.endsWith('*') ? wanted.slice(0, -1) : undefined;
  return ({ peer }) => {
    const id = isAnonymous(peer) ? undefined : peer.spiffeId?.toString();
    if (id === undefined) return false;
    return prefix === undefined ? id === wanted : id.startsWith(prefix);
  };
}

function lineOf(
  { id, peer, facts, socket, openedAt }: LiveConnection,
  session: Session | undefined,
  now: number,
): object {
  const { name, direction, remoteAddress, remotePort, protocol } = facts;
  return {
    ...{ id, direction, listener: name, ...describePeer(peer) },
    remote: `${remoteAddress}:${remotePort}`,
    tls: protocol === '' ? 'none' : protocol,
    openedAt: new Date(openedAt).toISOString(),
    ageSeconds: Math.max(0, Math.floor((now - openedAt) / 1000)),
    ...{ bytesIn: socket.bytesRead, bytesOut: socket.bytesWritten },
    ...(session !== undefined && { inFlight: session.inFlight.size }),
  };
}
