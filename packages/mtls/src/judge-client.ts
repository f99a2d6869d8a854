import type { TLSSocket } from 'node:tls';
import { type Clock, type Denial, denial, type Log, messageOf } from '@countersign/base';
import { type BundleSource, type RevocationSource, verifyPeer } from '@countersign/spiffe';
import type { SignatureCache } from '@countersign/x509';
import { type ChainMemory, serverNamesOf } from './chain-memory.ts';
import { anonymous, type HandshakeFacts, isAnonymous, type PeerOf } from './live-connection.ts';
import type { StillAllowed } from './live-connections.ts';
import type { ProxyHeader } from './proxy-header.ts';

/** As of the listener, which explains them. */
export interface JudgeOptions {
  readonly name: string;
  /** For `HandshakeFacts.chain`; the name unless given. */
  readonly chain?: string;
  readonly bundles: BundleSource;
  readonly clientAuth: 'require' | 'request' | 'none';
  readonly profile?: 'svid' | 'any';
  readonly clock: Clock;
  readonly log: Log;
  /** What a trusted proxy told of the connection. */
  readonly proxiedOf?: (socket: TLSSocket) => ProxyHeader | undefined;
  readonly prepare?: RevocationSource['prepare'];
  readonly admit?: (peer: PeerOf, facts: HandshakeFacts) => StillAllowed;
}

export type JudgedClient =
  | { readonly ok: true; readonly peer: PeerOf; readonly facts: HandshakeFacts }
  | {
      readonly ok: false;
      readonly refusal: Denial;
      readonly facts: HandshakeFacts;
      readonly peer?: PeerOf;
    };

export interface Remembered {
  readonly memory: ChainMemory;
  readonly signatures: SignatureCache;
}

/**
 * Who is this, and may they stay: the same for full and resumed handshakes. A defect in a source, in the verifier or
 * in `admit` refuses, and ends nothing but this connection. A promise only where something had to be looked up first.
 */
export function judgeClient(
  options: JudgeOptions,
  remembered: Remembered,
  socket: TLSSocket,
): JudgedClient | Promise<JudgedClient> {
  const failed = (thrown: unknown): JudgedClient => {
    options.log.error({ listener: options.name, err: thrown }, 'judging failed, client refused');
    const facts = factsOf(options, socket, []);
    return { ok: false, refusal: denial('ERR_INTERNAL', messageOf(thrown)), facts };
  };
  try {
    const known = identify(options, remembered, socket);
    if (!known.ok) return known;
    // 5. prepare: what `admit` has to know of the peer, where that takes time
    const { peer } = known;
    const pending = isAnonymous(peer) ? undefined : options.prepare?.(peer, { purpose: 'client' });
    if (pending === undefined) return admit(options, known);
    return pending.then(() => judgeAgain(options, remembered, socket, known)).catch(failed);
  } catch (thrown) {
    return failed(thrown);
  }
}

/** As of after the wait: a bundle may have changed meanwhile, and this connection was in no registry to be re-asked. */
function judgeAgain(
  options: JudgeOptions,
  remembered: Remembered,
  socket: TLSSocket,
  before: JudgedClient & { ok: true },
): JudgedClient {
  const again = identify(options, remembered, socket);
  if (!again.ok) return again;
  // What was found out is known of the peer that it was asked for.
  return admit(options, isSameChain(before.peer, again.peer) ? before : again);
}

/** Whether two verifications found the same path. */
export function isSameChain(a: PeerOf, b: PeerOf): boolean {
  if (isAnonymous(a) || isAnonymous(b)) return a === b;
  return (
    a.chain.length === b.chain.length &&
    a.chain.every(
      (certificate, i) => Buffer.compare(certificate.raw, b.chain[i]?.raw ?? none) === 0,
    )
  );
}

const none = new Uint8Array();

function identify(
  options: JudgeOptions,
  { memory, signatures }: Remembered,
  socket: TLSSocket,
): JudgedClient {
  // 3. chain: all that the peer sent, remembered where the session was resumed
  const sent: ReturnType<ChainMemory['read']> =
    options.clientAuth === 'none' ? { kind: 'missing' } : memory.read(socket);
  const serverNames = sent.kind === 'chain' ? sent.serverNames : serverNamesOf(socket);
  const facts = factsOf(options, socket, serverNames);
  if (sent.kind === 'refused') return { ok: false, refusal: sent.denial, facts };
  if (sent.kind === 'missing') {
    if (options.clientAuth !== 'require') return { ok: true, peer: anonymous, facts };
    const detail = 'client sent no certificate, one is required';
    return { ok: false, refusal: denial('ERR_TLS_CLIENT_CERTIFICATE_MISSING', detail), facts };
  }
  // 4. peer: our own verifier, against the bundles as they are now
  const verified = verifyPeer({
    chain: sent.chain,
    bundles: options.bundles,
    at: options.clock.now(),
    purpose: 'client',
    profile: options.profile ?? 'svid',
    signatures,
  });
  if (!verified.ok) return { ok: false, refusal: verified, facts };
  memory.remember(sent.chain, facts.serverNames);
  return { ok: true, peer: verified.peer, facts };
}

/** 6. admit: the caller's policy. */
function admit(options: JudgeOptions, known: JudgedClient & { ok: true }): JudgedClient {
  const { peer, facts } = known;
  const answer = options.admit?.(peer, facts) ?? { ok: true };
  return answer.ok ? known : { ok: false, refusal: answer, facts, peer };
}

export function factsOf(
  { name, chain = name, proxiedOf }: JudgeOptions,
  socket: TLSSocket,
  serverNames: readonly string[],
): HandshakeFacts {
  const told = proxiedOf?.(socket);
  return {
    name,
    chain,
    direction: 'inbound',
    remoteAddress: told?.sourceAddress ?? socket.remoteAddress ?? '',
    remotePort: told?.sourcePort ?? socket.remotePort ?? 0,
    sourceAddress: socket.remoteAddress ?? '',
    localAddress: socket.localAddress ?? '',
    localPort: socket.localPort ?? 0,
    protocol: socket.getProtocol() ?? '',
    resumed: socket.isSessionReused(),
    serverNames,
  };
}
