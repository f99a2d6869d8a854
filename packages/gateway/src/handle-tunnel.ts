import { TLSSocket } from 'node:tls';
import { Permit } from '@countersign/authz';
import { type Clock, CountersignError, type Log, messageOf } from '@countersign/base';
import { describePeer, formatProxyHeader, isAnonymous, type ProxiedTls } from '@countersign/mtls';
import type { GatewayMetrics } from './gateway-metrics.ts';
import { ask, type Facts } from './reask.ts';
import { placeOfConnection } from './request-hash.ts';
import type { Session } from './session.ts';
import { splice } from './splice.ts';
import type { Cluster } from './upstream/cluster.ts';
import type { UpstreamSocket } from './upstream/connections.ts';

export interface TunnelSurroundings {
  readonly facts: Facts;
  readonly cluster: Cluster;
  readonly metrics: GatewayMetrics;
  /** The upstream stands: bytes are passed on from now. */
  readonly onOpened?: (() => void) | undefined;
  /** Instead of the connection's end, where there is a word for it. */
  readonly onFailed?: (() => void) | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The story of a connection whose bytes nobody here reads: permit, dial, tell the upstream of the client where it wants
 * that, pass on until both sides have said their last. A client that is refused has its connection closed; the reason is
 * in the log.
 */
export async function handleTunnel(
  { facts, cluster, metrics, clock, log, ...told }: TunnelSurroundings,
  session: Session,
): Promise<void> {
  const startedAt = clock.monotonic();
  const { live, peer } = session;
  const shown = { listener: live.facts.name, connection: live.id, ...describePeer(peer) };
  // 1. Permit: asked again whenever a fact changes, for as long as bytes are passed on.
  const permit = ask(facts, session);
  if (!permit.ok) {
    live.socket.destroy();
    metrics.tunnel('denied', 0, 0, 0);
    log.warn({ ...shown, code: permit.code, ...permit.fields }, `tunnel refused: ${permit.detail}`);
    return;
  }
  session.inFlight.add(bytes);
  try {
    // 2. Dial.
    const socket = await dial(permit, session, cluster);
    // 3. Pass on.
    told.onOpened?.();
    const { idleTimeoutMs: idleMs, closeTimeoutMs: closeMs, maxLifetimeMs } = cluster.model;
    const spliced = await splice(live.socket, socket, { idleMs, closeMs, maxLifetimeMs, clock });
    const { received, sent } = spliced;
    metrics.tunnel('forwarded', received, sent, (clock.monotonic() - startedAt) / 1000);
    log.info({ ...shown, ...spliced }, 'tunnel over');
  } catch (thrown) {
    if (told.onFailed === undefined) live.socket.destroy();
    else told.onFailed();
    metrics.tunnel('failed', 0, 0, 0);
    const fields =
      thrown instanceof CountersignError ? { code: thrown.code, ...thrown.fields } : {};
    log.warn({ ...shown, ...fields }, `tunnel failed: ${messageOf(thrown)}`);
  } finally {
    session.inFlight.delete(bytes);
  }
}

/** What is in flight on such a connection: rules are asked about the connection itself. */
const bytes = { method: '', path: '*' };

/** Takes the evidence that bytes may be passed on. */
async function dial(permit: Permit, session: Session, cluster: Cluster): Promise<UpstreamSocket> {
  // The type already says so; this holds where types don't.
  if (!Permit.is(permit) || permit.scope !== 'bytes') {
    throw new TypeError('dial takes a permit for bytes');
  }
  await cluster.pending;
  const { remoteAddress } = session.live.facts;
  if (!cluster.admission.beginTunnel()) {
    const { name, maxConnections } = cluster.model;
    const message = `${maxConnections} connections to "${name}" are open, no more are let through`;
    throw new CountersignError('ERR_UPSTREAM_OVERLOADED', message, { fields: { cluster: name } });
  }
  session.live.socket.once('close', () => cluster.admission.tunnelEnded());
  const upstream = cluster.pick({ hash: placeOfConnection(cluster.model, remoteAddress) });
  if (upstream === undefined) {
    const message = `cluster "${cluster.model.name}" has no endpoint`;
    throw new CountersignError('ERR_UPSTREAM_NO_ENDPOINT', message);
  }
  const gone = new AbortController();
  session.live.socket.once('close', () => gone.abort());
  const { proxyProtocol } = cluster.model;
  try {
    const socket = await upstream.open({
      ...{ alpn: [], allowHalfOpen: true, signal: gone.signal },
      ...(proxyProtocol !== undefined && { preamble: proxyHeaderOf(session, proxyProtocol) }),
    });
    cluster.report(upstream, 200);
    return socket;
  } catch (thrown) {
    if (!gone.signal.aborted) cluster.report(upstream, 'failed', false);
    throw thrown;
  }
}

function proxyHeaderOf(
  { live }: Session,
  told: NonNullable<Cluster['model']['proxyProtocol']>,
): Uint8Array {
  const { facts, socket, peer } = live;
  const isStranger = told === 'v2-tls' || isAnonymous(peer);
  return formatProxyHeader({
    sourceAddress: facts.remoteAddress,
    sourcePort: facts.remotePort,
    destinationAddress: facts.localAddress,
    destinationPort: facts.localPort,
    ...(socket instanceof TLSSocket &&
      told !== 'v2-addresses' && {
        tls: {
          serverName: facts.serverNames[0],
          alpn: socket.alpnProtocol || undefined,
          version: facts.protocol,
          cipher: socket.getCipher().standardName,
          ...(isStranger ? { isVerified: !isAnonymous(peer) } : identityOf(peer)),
        },
      }),
  });
}

function identityOf(peer: Exclude<Session['peer'], { kind: 'anonymous' }>): ProxiedTls {
  const names = peer.leaf.subject.rdns.flat();
  const commonName = names.find(({ oid }) => oid === commonNameOid)?.value;
  return {
    isVerified: true,
    commonName,
    certificate: peer.leaf.raw,
    spiffeId: peer.spiffeId?.toString(),
  };
}

const commonNameOid = '2.5.4.3';
