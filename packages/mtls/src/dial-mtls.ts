import { X509Certificate } from 'node:crypto';
import { connect as connectTcp, isIP, type Socket, type TcpNetConnectOpts } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import {
  type Clock,
  CountersignError,
  type Denial,
  denial,
  type ErrorCode,
  errorOfDenial,
  messageOf,
} from '@countersign/base';
import {
  type BundleSource,
  type RevocationSource,
  type VerifiedPeer,
  verifyPeer,
} from '@countersign/spiffe';
import { type Certificate, parseCertificate, type SignatureCache } from '@countersign/x509';
import { sentCertificates } from './chain-memory.ts';
import type { ExpectPeer } from './expect-peer.ts';
import { isSameChain } from './judge-client.ts';
import type { LiveConnection } from './live-connection.ts';
import type { LiveConnections } from './live-connections.ts';
import type { IdentitySource } from './tls-certificate.ts';
import { anonymousContext, clientContext } from './tls-identity.ts';
import { httpAlpn, type TlsVersion } from './tls-policy.ts';

export interface DialOptions {
  /** DNS name or IP address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** SNI; `host` unless given. An IP address is never sent (RFC 6066 §3). */
  readonly servername?: string;
  /** Whose certificate to present, asked at this dial; without it none is presented. */
  readonly svids?: IdentitySource;
  readonly bundles: BundleSource;
  /** Who may answer; asked once the chain is verified and before any byte is written. */
  readonly expect: ExpectPeer;
  /**
   * Asked once the chain is verified, before `expect`, with the OCSP response that the server stapled: what has to be
   * looked up about the peer first. Not bounded by `timeoutMs`, so it must have a bound of its own.
   */
  readonly prepare?: RevocationSource['prepare'];
  /** Asks the server to staple an OCSP response. Default false. */
  readonly asksForStaple?: boolean;
  /** As in `verifyPeer`; `svid` unless given. */
  readonly profile?: 'svid' | 'any';
  /** `TLSv1.2` unless given. */
  readonly minVersion?: TlsVersion;
  /** `['http/1.1']` unless given. */
  readonly alpn?: readonly string[];
  /** A server that has said its last may still be told; default false. */
  readonly allowHalfOpen?: boolean;
  /** Written before the handshake, in the clear: a PROXY header. */
  readonly preamble?: Uint8Array;
  readonly signal?: AbortSignal;
  /** For name look-up, TCP and TLS together; 10,000 unless given. */
  readonly timeoutMs?: number;
  readonly clock: Clock;
  /** A connection to there that {@link dialUnjudged} opened, to be judged and used instead of another. */
  readonly opened?: TLSSocket;
  /** Remembers verified signatures, for callers who dial the same servers again. */
  readonly signatures?: SignatureCache;
  /** Where the connection is registered, so that it can be re-asked and cut. */
  readonly connections?: LiveConnections;
}

export interface Dialled {
  readonly socket: TLSSocket;
  readonly peer: VerifiedPeer;
  /** Present where a registry was given. */
  readonly live?: LiveConnection;
}

/**
 * Opens a mutually authenticated connection: dial, handshake, chain, peer, prepare, expectation, live. Sessions are
 * never resumed: a resumed one does not show the server's certificate.
 *
 * @throws CountersignError ERR_DIAL_*, ERR_TLS_*, ERR_SVID_NONE, ERR_SERVER_CERTIFICATE_MISSING, ERR_PEER_*,
 *   and what path validation refuses, with `selfSigned: true` in its fields where the server's certificate is that
 */
export async function dialMtls(options: DialOptions): Promise<Dialled> {
  const attempted = attemptAt(options);
  if (options.signal?.aborted) throw new CountersignError('ERR_DIAL_ABORTED', attempted);

  // 1. dial and handshake, with the identity as it is now
  const { opened } = options;
  const { socket, staple } =
    opened === undefined
      ? await handshake(options, attempted)
      : { socket: opened, staple: undefined };
  try {
    // 2. chain and peer: our own verifier, before a byte is written
    let judged = judgeServer(options, socket);
    if (!judged.ok) throw errorOfDenial(judged, attempted);
    // 3. prepare: what `expect` has to know of the peer; a bundle may change in that time
    const pending = options.prepare?.(judged.peer, { purpose: 'server', staple });
    if (pending !== undefined) {
      await pending;
      const again = judgeServer(options, socket);
      if (!again.ok) throw errorOfDenial(again, attempted);
      if (!isSameChain(judged.peer, again.peer)) judged = again;
      if (socket.destroyed) {
        throw new CountersignError('ERR_TLS_ABORTED', `${attempted}: closed by the other side`);
      }
      if (options.signal?.aborted) throw new CountersignError('ERR_DIAL_ABORTED', attempted);
    }
    // 4. expectation: the right one, not only a trusted one
    const { peer } = judged;
    const expected = options.expect(peer);
    if (!expected.ok) throw errorOfDenial(expected, attempted);
    // 5. live
    if (options.connections === undefined) return { socket, peer };
    const facts = {
      name: attempted,
      direction: 'outbound' as const,
      remoteAddress: socket.remoteAddress ?? '',
      remotePort: socket.remotePort ?? 0,
      sourceAddress: socket.remoteAddress ?? '',
      localAddress: socket.localAddress ?? '',
      localPort: socket.localPort ?? 0,
      protocol: socket.getProtocol() ?? '',
      resumed: false,
      serverNames: serverNameOf(options) === '' ? [] : [serverNameOf(options)],
    };
    return { socket, peer, live: options.connections.add(socket, peer, facts) };
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  }
}

/**
 * Opens a connection whose other end is nobody as yet, and shows it nothing of ours: for what proves itself, such as a root
 * whose fingerprint is known. `dialMtls` judges it afterwards.
 *
 * @throws CountersignError ERR_DIAL_*, ERR_TLS_*
 */
export async function dialUnjudged(options: UnjudgedOptions): Promise<TLSSocket> {
  return (await handshake(options, attemptAt(options))).socket;
}

export type UnjudgedOptions = Pick<
  DialOptions,
  'host' | 'port' | 'minVersion' | 'signal' | 'timeoutMs' | 'clock'
>;

function attemptAt({ host, port }: Pick<DialOptions, 'host' | 'port'>): string {
  return `connect to "${isIP(host) === 6 ? `[${host}]` : host}:${port}"`;
}

interface Shaken {
  readonly socket: TLSSocket;
  readonly staple: Uint8Array | undefined;
}

async function handshake(
  options: UnjudgedOptions & Partial<DialOptions>,
  attempted: string,
): Promise<Shaken> {
  const svid = options.svids?.svid();
  const { host, port, preamble, allowHalfOpen = false } = options;
  const raw = preamble === undefined ? undefined : openTcp({ host, port, allowHalfOpen }, preamble);
  const where: ConnectionOptions & { readonly allowHalfOpen: boolean } = {
    ...(raw === undefined ? { host, port } : { socket: raw }),
    allowHalfOpen,
  };
  const socket = connect({
    ...where,
    servername: serverNameOf(options),
    secureContext:
      svid === undefined
        ? anonymousContext(options.minVersion)
        : clientContext(svid, options.minVersion),
    ALPNProtocols: [...(options.alpn ?? httpAlpn)],
    requestOCSP: options.asksForStaple ?? false,
    // Verified below, by our own verifier and against our own expectation.
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  });
  socket.setNoDelay(true);
  let staple: Uint8Array | undefined;
  // Null where the server has none, whatever the types of Node say.
  socket.once('OCSPResponse', (shown: Buffer | null) => {
    staple = shown === null ? undefined : new Uint8Array(shown);
  });
  const over = new AbortController();
  let closed = (): void => {};
  try {
    await new Promise<void>((resolve, reject) => {
      const give = (code: ErrorCode, reason: string, cause?: unknown) => {
        reject(new CountersignError(code, `${attempted}: ${reason}`, { cause }));
      };
      let connected = false;
      (raw ?? socket).once('connect', () => {
        connected = true;
      });
      socket.once('secureConnect', resolve);
      const failed = (thrown: Error & { code?: string }): void => {
        const code = connected ? 'ERR_TLS_HANDSHAKE' : 'ERR_DIAL_UNREACHABLE';
        give(code, thrown.code ?? thrown.message, thrown);
      };
      socket.once('error', failed);
      raw?.once('error', failed);
      closed = () => give('ERR_TLS_ABORTED', 'closed by the other side');
      socket.once('close', closed);
      const aborted = () => give('ERR_DIAL_ABORTED', 'given up');
      options.signal?.addEventListener('abort', aborted, { once: true, signal: over.signal });
      const timeoutMs = options.timeoutMs ?? 10_000;
      options.clock.sleep(timeoutMs, { signal: over.signal, ref: false }).then(
        () => give('ERR_DIAL_TIMEOUT', `no TLS connection within ${timeoutMs} ms`),
        () => {},
      );
    });
    return { socket, staple };
  } catch (thrown) {
    socket.destroy();
    raw?.destroy();
    throw thrown;
  } finally {
    over.abort();
    socket.off('close', closed);
    // What breaks later is told to whoever reads or writes; without a listener it would end the process.
    socket.on('error', () => {});
  }
}

/** What is written before the connection stands waits for it, and goes ahead of the handshake. */
function openTcp(where: TcpNetConnectOpts, preamble: Uint8Array): Socket {
  const raw = connectTcp({ ...where, noDelay: true });
  raw.on('error', () => {});
  raw.write(preamble);
  return raw;
}

type JudgedServer = { readonly ok: true; readonly peer: VerifiedPeer } | Denial;

function judgeServer(options: DialOptions, socket: TLSSocket): JudgedServer {
  const sent = sentCertificates(socket);
  if (sent.length === 0) {
    return denial('ERR_SERVER_CERTIFICATE_MISSING', 'server sent no certificate');
  }
  const chain = parseChain(sent);
  const judged = 'ok' in chain ? chain : verifyServer(options, chain);
  if (judged.ok || !isSelfSigned(sent[0])) return judged;
  // Whatever else is wrong with it: nobody but itself vouches for it.
  return { ...judged, fields: { ...judged.fields, selfSigned: true } };
}

function verifyServer(options: DialOptions, chain: readonly Certificate[]): JudgedServer {
  return verifyPeer({
    chain,
    bundles: options.bundles,
    at: options.clock.now(),
    purpose: 'server',
    profile: options.profile ?? 'svid',
    ...(options.signatures === undefined ? {} : { signatures: options.signatures }),
  });
}

function isSelfSigned(der: Uint8Array | undefined): boolean {
  if (der === undefined) return false;
  try {
    const leaf = new X509Certificate(der);
    return leaf.issuer === leaf.subject && leaf.verify(leaf.publicKey);
  } catch {
    return false;
  }
}

function parseChain(sent: readonly Uint8Array[]) {
  try {
    return sent.map((der) => parseCertificate(der));
  } catch (thrown) {
    return denial('ERR_TLS_CHAIN_MALFORMED', `chain of the server: ${messageOf(thrown)}`);
  }
}

// RFC 6066 §3: literal addresses are not permitted in the server name.
function serverNameOf(options: Pick<DialOptions, 'host' | 'servername'>): string {
  const name = options.servername ?? options.host;
  return isIP(name) === 0 ? name : '';
}
