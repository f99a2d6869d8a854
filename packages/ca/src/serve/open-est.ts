import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { type Clock, type Log, messageOf } from '@countersign/base';
import type { SvidSource } from '@countersign/spiffe';
import type { Authority } from '../authority.ts';
import type { EstEdge } from '../est/est-edge.ts';
import type { IssueLine } from './issue-line.ts';
import { leaving } from './leaving.ts';
import { shownBy } from './open-vault.ts';
import { readAnyBody } from './read-body.ts';

/** The EST edge on the HTTP of a server. */
export interface EstOnHttp {
  has(path: string): boolean;
  answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/** Where ca.yaml opens it: loaded there alone. */
export async function openEst({
  authority,
  identity,
  line,
  clock,
  log,
}: {
  readonly authority: Authority;
  readonly line?: IssueLine;
  readonly identity: SvidSource;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<EstOnHttp | undefined> {
  const { est: config } = authority.config;
  if (config === undefined) return undefined;
  const [{ EstEdge }, { channelBindingOf }] = await Promise.all([
    import('../est/est-edge.ts'),
    import('../est/channel-binding.ts'),
  ]);
  const edge = new EstEdge({ config, authority, identity, line, clock, log });
  return {
    has: (path) => edge.has(path),
    answer: (request, response) => answer({ edge, channelBindingOf, log }, request, response),
  };
}

async function answer(
  {
    edge,
    channelBindingOf,
    log,
  }: {
    readonly edge: EstEdge;
    readonly channelBindingOf: typeof import('../est/channel-binding.ts').channelBindingOf;
    readonly log: Log;
  },
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = 'GET', url = '/', headers } = request;
  const socket = request.socket as TLSSocket;
  try {
    const reply = await edge.answer({
      ...{ method, url, headers, from: socket.remoteAddress ?? '' },
      shown: () => shownBy(socket),
      left: leaving(response),
      binding: () => channelBindingOf(socket),
      body: (maxBodyBytes) => readAnyBody(request, { name: 'est', maxBodyBytes }),
    });
    if (response.destroyed) return;
    // An unread body would be taken for the next request.
    if (!request.complete) response.setHeader('Connection', 'close');
    const { status, headers: own, body } = reply;
    const length = status === 204 ? {} : { 'Content-Length': Buffer.byteLength(body) };
    response.writeHead(status, { ...own, ...length });
    response.end(method === 'HEAD' ? undefined : body);
  } catch (thrown) {
    log.error({ err: thrown }, `EST answer failed: ${messageOf(thrown)}`);
    response.destroy();
  }
}
