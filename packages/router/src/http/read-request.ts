import type { IncomingMessage } from 'node:http';
import { type Denial, denial } from '@countersign/base';
import type { RouterConfig, RouterLimits } from '../config/router-config.ts';
import type { IncomingFiles } from '../uploads/incoming-files.ts';
import { readMultipart } from '../uploads/read-multipart.ts';
import { judgeNesting } from './json-nesting.ts';

/** The parameters of one operation as they were sent (GraphQL over HTTP §5.3). */
export interface OperationParameters {
  readonly query: string | undefined;
  readonly operationName: string | undefined;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly extensions: Readonly<Record<string, unknown>>;
}

export interface ReadRequest {
  readonly ok: true;
  readonly isBatch: boolean;
  readonly operations: readonly OperationParameters[];
  /** Files that come with it. */
  readonly files?: IncomingFiles;
}

/** A refusal and the status that says so. */
export interface RefusedRequest extends Denial {
  readonly status: number;
}

/**
 * The operations of a request, by GET or POST. A batch beyond its limit is refused before any of it is looked at.
 * Refusals: ERR_GRAPHQL_REQUEST, ERR_GRAPHQL_LIMIT.
 */
export async function readRequest(
  request: IncomingMessage,
  { limits, uploads }: Pick<RouterConfig, 'limits' | 'uploads'>,
): Promise<ReadRequest | RefusedRequest> {
  if (request.method === 'GET') return readQuery(request.url ?? '/', limits);
  if (request.method !== 'POST')
    return wrong(405, `method ${request.method}, GET or POST is expected`);
  if (isMultipart(request.headers['content-type'])) {
    if (uploads !== undefined) return await readMultipart(request, limits, uploads);
    return wrong(415, 'files are not let through, "uploads" of router.yaml says whether they are');
  }
  const unfit = wrongWithContentType(request.headers['content-type']);
  if (unfit !== undefined) return unfit;
  if ((request.headers['content-encoding'] ?? 'identity') !== 'identity') {
    return wrong(
      415,
      `content-encoding "${request.headers['content-encoding']}", none is expected`,
    );
  }
  const body = await readBody(request, limits.max_body_bytes);
  if (typeof body !== 'string') return body;
  const deep = judgeNesting(body, limits.max_json_depth);
  if (deep !== undefined) return { ...deep, status: 400 };
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return wrong(400, 'the body is no JSON');
  }
  if (!Array.isArray(json)) {
    const operation = readParameters(json);
    return 'ok' in operation ? operation : { ok: true, isBatch: false, operations: [operation] };
  }
  return readBatch(json, limits);
}

function readBatch(json: readonly unknown[], limits: RouterLimits): ReadRequest | RefusedRequest {
  if (limits.max_batch === 1) return wrong(400, 'a batch, this router takes single operations');
  if (json.length === 0) return wrong(400, 'an empty batch');
  if (json.length > limits.max_batch) {
    const sides = `batch of ${json.length} operations, at most ${limits.max_batch} are let through`;
    return { ...denial('ERR_GRAPHQL_LIMIT', sides), status: 400 };
  }
  const operations: OperationParameters[] = [];
  for (const each of json) {
    const operation = readParameters(each);
    if ('ok' in operation) return operation;
    operations.push(operation);
  }
  return { ok: true, isBatch: true, operations };
}

/** GraphQL over HTTP §5.4.1: only JSON; what a page could send without asking its browser is refused by that, too. */
function wrongWithContentType(text: string | undefined): RefusedRequest | undefined {
  if (text === undefined) return wrong(415, 'no content-type, "application/json" is expected');
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  if (type !== 'application/json' && type !== 'application/graphql+json') {
    return wrong(415, `content-type "${type}", "application/json" is expected`);
  }
  const charset = parameters
    .find((part) => part.startsWith('charset='))
    ?.slice(8)
    .replaceAll('"', '');
  if (charset === undefined || charset === 'utf-8' || charset === 'utf8') return undefined;
  return wrong(415, `charset "${charset}", "utf-8" is expected`);
}

export function isMultipart(contentType: string | undefined): boolean {
  return /^\s*multipart\/form-data\b/i.test(contentType ?? '');
}

function readBody(
  request: IncomingMessage,
  maxBytes: number,
): Promise<string | RefusedRequest> | RefusedRequest {
  // RFC 9110 §15.5.14: what is announced as too large is not read at all.
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > maxBytes) return tooLarge(announced, maxBytes);
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= maxBytes) return void chunks.push(chunk);
      request.removeAllListeners('data');
      resolve(tooLarge(bytes, maxBytes));
    });
    request.once('end', () => resolve(textOf(chunks)));
    request.once('error', () => resolve(wrong(400, 'the body broke off')));
  });
}

function textOf(chunks: readonly Buffer[]): string {
  const [first] = chunks;
  if (chunks.length === 1 && first !== undefined) return first.toString('utf8');
  return Buffer.concat(chunks).toString('utf8');
}

function tooLarge(bytes: number, maxBytes: number): RefusedRequest {
  const sides = `body of ${bytes} bytes, at most ${maxBytes} are let through`;
  return { ...denial('ERR_GRAPHQL_LIMIT', sides, { bytes, maxBytes }), status: 413 };
}

function readQuery(url: string, limits: RouterLimits): ReadRequest | RefusedRequest {
  const start = url.indexOf('?');
  const search = new URLSearchParams(start === -1 ? '' : url.slice(start + 1));
  const text = (name: string) => search.get(name) ?? undefined;
  for (const name of ['variables', 'extensions']) {
    const deep = judgeNesting(text(name) ?? '', limits.max_json_depth);
    if (deep !== undefined) return { ...deep, status: 400 };
  }
  const map = (name: string): unknown => {
    const written = text(name);
    if (written === undefined || written === '') return undefined;
    try {
      return JSON.parse(written);
    } catch {
      return written;
    }
  };
  const operation = readParameters({
    query: text('query'),
    operationName: text('operationName') || undefined,
    variables: map('variables'),
    extensions: map('extensions'),
  });
  return 'ok' in operation ? operation : { ok: true, isBatch: false, operations: [operation] };
}

/** One operation's parameters from JSON, each of its kind or absent (GraphQL over HTTP §5.3); shared with WebSockets. */
export function readParameters(json: unknown): OperationParameters | RefusedRequest {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    return wrong(400, 'the request is no map of parameters');
  }
  const { query, operationName, variables, extensions } = json as Record<string, unknown>;
  if (query !== undefined && typeof query !== 'string') return wrong(400, '"query" is no text');
  if (!isNothing(operationName) && typeof operationName !== 'string') {
    return wrong(400, '"operationName" is no text');
  }
  if (!isMap(variables)) return wrong(400, '"variables" is no map');
  if (!isMap(extensions)) return wrong(400, '"extensions" is no map');
  return {
    query,
    operationName: operationName ?? undefined,
    variables: (variables as Record<string, unknown> | null | undefined) ?? {},
    extensions: (extensions as Record<string, unknown> | null | undefined) ?? {},
  };
}

function isNothing(value: unknown): value is null | undefined {
  return value === null || value === undefined;
}

function isMap(value: unknown): boolean {
  return isNothing(value) || (typeof value === 'object' && !Array.isArray(value));
}

export function wrong(status: number, detail: string): RefusedRequest {
  return { ...denial('ERR_GRAPHQL_REQUEST', detail), status };
}
