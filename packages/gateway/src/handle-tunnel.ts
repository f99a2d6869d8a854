import { Permit } from '@countersign/authz';
import { type Clock, CountersignError, type Log, messageOf } from '@countersign/base';
import {
  type DialOptions,
  describePeer,
  dialMtls,
  expectSpiffeId,
  formatProxyHeader,
  isAnonymous,
  type ProxiedTls,
} from '@countersign/mtls';
import type { GatewayMetrics } from './gateway-metrics.ts';
import { type TunnelUpstreamConfig, tunnelAddress } from './listener-config.ts';
import { ask, type Facts } from './reask.ts';
import type { Session } from './session.ts';
import { splice } from './splice.ts';
import type { UpstreamSurroundings } from './upstream/upstream.ts';

export interface TunnelSurroundings {
  readonly facts: Facts;
  readonly upstream: TunnelUpstreamConfig;
  readonly around: UpstreamSurroundings;
  readonly metrics: GatewayMetrics;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * The story of a connection whose bytes nobody here reads: permit, dial, tell the upstream of the client where it wants
 * that, pass on until both sides have said their last. A client that is refused has its connection closed; the reason is
 * in the log.
 */
export async function handleTunnel(
  { facts, upstream, around, metrics, clock, log }: TunnelSurroundings,
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
    const socket = await dial(permit, session, upstream, around);
    // 3. Pass on.
    const spliced = await splice(live.socket, socket, { idleMs: upstream.idleTimeout });
    const { received, sent } = spliced;
    metrics.tunnel('forwarded', received, sent, (clock.monotonic() - startedAt) / 1000);
    log.info({ ...shown, ...spliced }, 'tunnel over');
  } catch (thrown) {
    live.socket.destroy();
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
async function dial(
  permit: Permit,
  session: Session,
  upstream: TunnelUpstreamConfig,
  around: UpstreamSurroundings,
): Promise<DialledSocket> {
  // The type already says so; this holds where types don't.
  if (!Permit.is(permit) || permit.scope !== 'bytes') {
    throw new TypeError('dial takes a permit for bytes');
  }
  const { svids, bundles, revocation, prepare, clock, connections, allowed } = around;
  const { spiffeId } = upstream;
  const isExpected = expectSpiffeId(...(typeof spiffeId === 'string' ? [spiffeId] : spiffeId));
  const gone = new AbortController();
  session.live.socket.once('close', () => gone.abort());
  const options: DialOptions = {
    ...{ ...tunnelAddress(upstream), svids, bundles, clock, connections, prepare },
    ...{ alpn: [], allowHalfOpen: true, signal: gone.signal, timeoutMs: upstream.connectTimeout },
    asksForStaple: revocation.asksForStaples ?? false,
    expect: (peer) => {
      const expected = isExpected(peer);
      return expected.ok ? allowed(peer) : expected;
    },
    ...(upstream.proxyProtocol === 'v2' && { preamble: proxyHeaderOf(session) }),
  };
  return (await dialMtls(options)).socket;
}

type DialledSocket = Awaited<ReturnType<typeof dialMtls>>['socket'];

function proxyHeaderOf({ live }: Session): Uint8Array {
  const { facts, socket, peer } = live;
  return formatProxyHeader({
    sourceAddress: facts.remoteAddress,
    sourcePort: facts.remotePort,
    destinationAddress: facts.localAddress,
    destinationPort: facts.localPort,
    tls: {
      serverName: facts.serverNames[0],
      alpn: socket.alpnProtocol || undefined,
      version: facts.protocol,
      cipher: socket.getCipher().standardName,
      ...(isAnonymous(peer) ? { isVerified: false } : identityOf(peer)),
    },
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
