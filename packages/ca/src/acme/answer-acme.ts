import type { IncomingMessage, ServerResponse } from 'node:http';
import { CountersignError, messageOf } from '@countersign/base';
import { whileAskedBy } from '../ledger/asked.ts';
import { randomOctets } from '../ledger/random-octets.ts';
import { readAnyBody } from '../serve/read-body.ts';
import type { AcmeContext } from './acme-context.ts';
import { type AcmeProblem, problem, problemBody } from './acme-problem.ts';
import { type AcmeAnswer, AcmeLinks } from './acme-request.ts';
import type { ResourcePatterns } from './acme-resources.ts';
import { acmeRoutes } from './acme-routes.ts';
import { directory } from './directory.ts';
import { proveRequest } from './prove-request.ts';
import { renewalInfo } from './renewal-info.ts';

/** RFC 8555 asks for little: a request for a hundred names, and its JWS, fit. */
const maxBodyBytes = 128 * 1024;

interface Asked {
  /** Below the edge's own path, without the query. */
  readonly path: string;
  readonly found: ReturnType<ResourcePatterns['find']>;
  readonly links: AcmeLinks;
  /** As a client must sign it. */
  readonly url: string;
  readonly from: string;
}

/** One request of an ACME client from its head to its answer. Never rejects. */
export async function answerAcme(
  context: AcmeContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const id = Buffer.from(randomOctets(9)).toString('base64url');
  const asked = askedOf(context, request);
  let answer: AcmeAnswer | AcmeProblem;
  try {
    answer = await answerOf(context, asked, request);
  } catch (thrown) {
    // Its own end, by the client.
    if (thrown === request.errored) return;
    answer = problemOf(context, thrown, id);
  }
  if (response.destroyed) return;
  const { method } = request;
  // RFC 8555 §6.5: in every answer to a POST, errors too
  if (method === 'POST' || asked.found?.resource === 'newNonce') {
    response.setHeader('replay-nonce', context.nonces.next());
  }
  response.setHeader('cache-control', 'no-store');
  if (!request.complete) response.setHeader('connection', 'close');
  const index =
    asked.path === context.config.directory ? [] : [`<${asked.links.directory}>;rel="index"`];
  if (!answer.ok) return sendProblem(context, { answer, id, asked, index }, response);
  response.setHeader('link', [...index, ...(answer.link ?? [])]);
  const { type, text } = bodyOf(answer);
  response.writeHead(answer.status, {
    ...answer.headers,
    ...(type !== undefined && { 'content-type': type }),
    'content-length': Buffer.byteLength(text),
  });
  response.end(method === 'HEAD' ? undefined : text);
}

async function answerOf(
  context: AcmeContext,
  asked: Asked,
  request: IncomingMessage,
): Promise<AcmeAnswer | AcmeProblem> {
  const { path, found, links, url, from } = asked;
  const { method } = request;

  // RFC 8555 §6.1: a client says what it is
  if (context.config.trials.isStrict && request.headers['user-agent'] === undefined) {
    return problem('malformed', 'the request has no User-Agent');
  }

  // 1. What anybody may read.
  const isRead = method === 'GET' || method === 'HEAD';
  if (path === context.config.directory && (isRead || method === 'POST')) {
    return directory(context.config, links);
  }
  // RFC 8555 §6.3: by POST-as-GET too
  if (found?.resource === 'newNonce' && (isRead || method === 'POST')) {
    return { ok: true, status: method === 'HEAD' ? 200 : 204 };
  }
  if (found?.resource === 'renewalInfo' && isRead) {
    return await renewalInfo(context, found.names[0] ?? '');
  }

  // 2. Everything else is a signed POST.
  const route = found && acmeRoutes[found.resource];
  if (found === undefined || route === undefined) {
    return problem('malformed', 'no such resource', { status: 404 });
  }
  if (method !== 'POST') {
    return problem('malformed', 'this resource is asked for by POST', {
      status: 405,
      headers: { allow: 'POST' },
    });
  }
  const [type = ''] = (request.headers['content-type'] ?? '').split(';');
  // RFC 8555 §6.2
  if (type.trim().toLowerCase() !== 'application/jose+json') {
    return problem('malformed', 'the content type must be application/jose+json', { status: 415 });
  }
  const { resource, names } = found;
  const body = await readAnyBody(request, { name: resource, maxBodyBytes });
  const proved = await proveRequest(context, {
    body,
    url,
    links,
    names,
    from,
    signedBy: route.signedBy,
  });
  if (!proved.ok) return proved;

  // 3. The answer; who asked is in the audit trail.
  const { signer } = proved;
  const by = signer.kind === 'account' ? `acme:${signer.account.id}` : 'anonymous';
  return await whileAskedBy({ by, from }, async () => await route.answer(context, proved));
}

function askedOf({ config, patterns }: AcmeContext, request: IncomingMessage): Asked {
  const target = request.url ?? '/';
  const [path = ''] = target.split('?');
  const { host = 'localhost' } = request.headers;
  const origin = `https://${/^[A-Za-z0-9.:[\]-]{1,300}$/.test(host) ? host : 'localhost'}`;
  const own = path.slice(config.path.length);
  return {
    path: own,
    found: patterns.find(own),
    links: new AcmeLinks(origin, config),
    url: `${origin}${target}`,
    from: request.socket.remoteAddress ?? '',
  };
}

function bodyOf({ body }: AcmeAnswer): {
  readonly type: string | undefined;
  readonly text: string;
} {
  if (body === undefined) return { type: undefined, text: '' };
  if ('text' in body && 'type' in body) return body as { type: string; text: string };
  return { type: 'application/json', text: JSON.stringify(body) };
}

function sendProblem(
  { log }: AcmeContext,
  refused: {
    readonly answer: AcmeProblem;
    readonly id: string;
    readonly asked: Asked;
    readonly index: readonly string[];
  },
  response: ServerResponse,
): void {
  const { answer, id, asked, index } = refused;
  const { type, status, detail, fields } = answer;
  const line = { id, type, status, path: asked.path.slice(0, 200), from: asked.from, ...fields };
  if (status >= 500) log.error(line, `acme request failed: ${detail}`);
  else log.info(line, `acme request refused: ${detail}`);
  const text = JSON.stringify(problemBody(answer, id));
  response.setHeader('link', index);
  response.writeHead(status, {
    ...answer.more.headers,
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}

/** What broke is the operator's to read; the client learns whether to come again. */
function problemOf({ log }: AcmeContext, thrown: unknown, id: string): AcmeProblem {
  if (thrown instanceof CountersignError && thrown.code === 'ERR_WIRE_TOO_LARGE') {
    return problem('malformed', `the body is larger than ${maxBodyBytes} bytes`, { status: 413 });
  }
  log.error({ id, err: thrown }, `acme request broke: ${messageOf(thrown)}`);
  return problem('serverInternal', 'the server cannot answer now', {
    status: 503,
    headers: { 'retry-after': '5' },
  });
}
