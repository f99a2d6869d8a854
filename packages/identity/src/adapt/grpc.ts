import type { EventEmitter } from 'node:events';
import type { Server as NetServer } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { CountersignError } from '@countersign/base';
import type { VerifiedPeer } from '@countersign/spiffe';
import type { LiveSource } from '../live/live-source.ts';
import { liveTlsOptions, type TlsOptionsRules } from '../live/tls-options.ts';
import { peerOf } from './peer-of.ts';
import { type SecureServer, type SecureServerOptions, secureServer } from './secure-server.ts';

/** What is needed of `@grpc/grpc-js`, from version 1.12 on. */
export interface GrpcModule<Credentials, ServerCredentials> {
  readonly credentials: {
    createFromSecureContext(
      context: import('node:tls').SecureContext,
      options: {
        checkServerIdentity: (
          host: string,
          certificate: import('node:tls').PeerCertificate,
        ) => Error | undefined;
      },
    ): Credentials;
  };
  readonly ServerCredentials: { createInsecure(): ServerCredentials };
}

/**
 * Channel credentials that stay live: each connection of the channel presents the identity of the moment that it is
 * made. A server's SPIFFE ID is checked; so is its name where {@link TlsOptionsRules} ask for it.
 *
 * @throws CountersignError ERR_IDENTITY_ADAPTER, ERR_IDENTITY_PATTERN
 */
export function grpcCredentials<Credentials>(
  grpc: GrpcModule<Credentials, unknown>,
  source: LiveSource,
  rules: TlsOptionsRules = {},
): Credentials {
  if (typeof grpc?.credentials?.createFromSecureContext !== 'function') {
    const message = 'grpc-js: no credentials.createFromSecureContext in it';
    throw new CountersignError('ERR_IDENTITY_ADAPTER', message);
  }
  const { secureContext, checkServerIdentity } = liveTlsOptions(source, rules);
  return grpc.credentials.createFromSecureContext(secureContext, { checkServerIdentity });
}

/** What is needed of a gRPC server. */
export interface GrpcServer<ServerCredentials> {
  createConnectionInjector(credentials: ServerCredentials): {
    injectConnection(connection: TLSSocket): void;
  };
}

export interface SecureGrpcServer extends SecureServer {
  /** Who makes a call; undefined where its connection is closed by now. */
  peerOf(call: { getPeer(): string }): VerifiedPeer | undefined;
}

/**
 * Accepts mTLS connections for a gRPC server, which does not bind a port itself: a call reaches it only from a client
 * that is verified and allowed.
 */
export function secureGrpcServer<ServerCredentials>(
  grpc: GrpcModule<unknown, ServerCredentials>,
  source: LiveSource,
  server: GrpcServer<ServerCredentials>,
  options: Omit<SecureServerOptions, 'alpn' | 'clientAuth'> = {},
): SecureGrpcServer {
  if (typeof server?.createConnectionInjector !== 'function') {
    const message = 'grpc-js: its server has no createConnectionInjector';
    throw new CountersignError('ERR_IDENTITY_ADAPTER', message);
  }
  const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
  const peers = new Map<string, VerifiedPeer>();
  const takes: Pick<EventEmitter, 'emit'> = {
    emit(_event, socket: TLSSocket) {
      const { remoteAddress = '', remotePort = 0 } = socket;
      const peer = peerOf(socket);
      const name = callName(remoteAddress, remotePort);
      if (peer !== undefined) peers.set(name, peer);
      socket.once('close', () => {
        if (peers.get(name) === peer) peers.delete(name);
      });
      injector.injectConnection(socket);
      return true;
    },
  };
  const secure = secureServer(source, takes as NetServer, { ...options, alpn: ['h2'] });
  return { ...secure, peerOf: (call) => peers.get(call.getPeer()) };
}

/** As gRPC tells a call's connection. */
function callName(address: string, port: number): string {
  return `${address}:${port}`;
}
