import type { IncomingMessage, ServerResponse } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { messageOf } from '@countersign/base';
import type { ApiContext } from './api-context.ts';
import { leaving } from './leaving.ts';
import { shownBy } from './open-vault.ts';
import { readAnyBody } from './read-body.ts';

/** step-ca's own paths on the HTTP of a server. */
export interface StepOnHttp {
  has(path: string): boolean;
  answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/** Where ca.yaml opens it: loaded there alone. */
export async function openStep(api: ApiContext): Promise<StepOnHttp | undefined> {
  const { authority, guesses, provisioners: desk, queue: line, version, clock, log } = api;
  if (!authority.config.stepPaths) return undefined;
  const { answerStep, findStepRoute } = await import('../step/answer-step.ts');
  const context = { authority, guesses, desk, line, version, clock, log };
  return {
    has: (url) => findStepRoute(url).length > 0,
    async answer(request, response) {
      const { method = 'GET', url = '/' } = request;
      const socket = request.socket as TLSSocket;
      try {
        const { status, headers, body } = await answerStep(context, {
          ...{ method, url, from: socket.remoteAddress ?? '' },
          shown: () => shownBy(socket),
          left: leaving(response),
          body: (maxBodyBytes) => readAnyBody(request, { name: 'step', maxBodyBytes }),
        });
        if (response.destroyed) return;
        // An unread body would be taken for the next request.
        if (!request.complete) response.setHeader('Connection', 'close');
        response.writeHead(status, { ...headers, 'Content-Length': Buffer.byteLength(body) });
        response.end(body);
      } catch (thrown) {
        log.error({ err: thrown }, `step answer failed: ${messageOf(thrown)}`);
        response.destroy();
      }
    },
  };
}
