import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { Clock, Log, Meter } from '@countersign/base';
import { messageOf } from '@countersign/base';
import { type Certificate, parseCertificate } from '@countersign/x509';
import type { Authority } from '../authority.ts';
import { stateLayout } from '../state-layout.ts';
import type { VaultEdge } from '../vault/vault-edge.ts';
import type { IssueLine } from './issue-line.ts';
import { leaving } from './leaving.ts';
import { readAnyBody } from './read-body.ts';

/** The Vault edge on the HTTP of a server. */
export interface VaultOnHttp {
  has(path: string): boolean;
  answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
  close(): Promise<void>;
}

/** Where ca.yaml opens it: loaded there alone. */
export async function openVault({
  authority,
  line,
  dataDir,
  version,
  clock,
  log,
  meter,
}: {
  readonly authority: Authority;
  readonly line?: IssueLine;
  readonly dataDir: string;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
}): Promise<(VaultOnHttp & { readonly edge: VaultEdge }) | undefined> {
  const { vault: config } = authority.config;
  if (config === undefined) return undefined;
  const { VaultEdge } = await import('../vault/vault-edge.ts');
  const copy = stateLayout(dataDir).vault;
  const edge = await VaultEdge.open({ config, authority, line, version, copy, clock, log, meter });
  return {
    edge,
    has: (path) => edge.has(path),
    answer: (request, response) => answer(edge, request, response, log),
    close: () => edge.close(),
  };
}

async function answer(
  edge: VaultEdge,
  request: IncomingMessage,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  const { method = 'GET', url = '/', headers } = request;
  const socket = request.socket as TLSSocket;
  const from = socket.remoteAddress ?? '';
  try {
    const {
      status,
      headers: own,
      body,
    } = await edge.answer({
      ...{ method, url, headers, from },
      shown: () => shownBy(socket),
      left: leaving(response),
      body: (maxBodyBytes) => readAnyBody(request, { name: 'vault', maxBodyBytes }),
    });
    if (response.destroyed) return;
    // An unread body would be taken for the next request.
    if (!request.complete) response.setHeader('connection', 'close');
    response.writeHead(status, {
      ...own,
      ...(status !== 204 && { 'content-length': Buffer.byteLength(body) }),
    });
    response.end(method === 'HEAD' ? undefined : body);
  } catch (thrown) {
    log.error({ err: thrown }, `vault answer failed: ${messageOf(thrown)}`);
    response.destroy();
  }
}

const longestChain = 10;

/** What the client sent, leaf first; of a resumed session the leaf alone. */
export function shownBy(socket: TLSSocket): readonly Certificate[] {
  const shown: Certificate[] = [];
  try {
    let next = socket.getPeerX509Certificate();
    while (next !== undefined && shown.length < longestChain) {
      shown.push(parseCertificate(new Uint8Array(next.raw)));
      next = next.issuerCertificate;
    }
  } catch {
    // What cannot be read proves nothing; what came before it may.
  }
  return shown;
}
