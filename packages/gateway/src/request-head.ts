import type { IncomingMessage } from 'node:http';
import { type Denial, denial } from '@countersign/base';
import { type RequestTarget, readRequestTarget } from './request-target.ts';

/** A request head that means the same to everybody who reads it. */
export interface RequestHead {
  readonly ok: true;
  /** For a WebSocket `GET`, whatever HTTP/2 calls it: rules see the same in both versions. */
  readonly method: string;
  readonly target: RequestTarget;
  /** Lowercase, without the port and a trailing dot; IPv6 in brackets. */
  readonly host: string;
  /** As sent, with its port. */
  readonly authority: string;
  readonly hasBody: boolean;
  /** As announced; undefined for chunked bodies and none. */
  readonly contentLength: number | undefined;
  /** The request is for a tunnel of WebSocket frames (RFC 6455, RFC 8441). */
  readonly isWebSocket: boolean;
  readonly isGrpc: boolean;
  /** Whether the client looks at trailers (RFC 9110 §10.1.4). */
  readonly takesTrailers: boolean;
}

/**
 * Checks what Node's strict parser leaves open. Both its answers and ours are needed: it refuses what is no HTTP/1.1;
 * this refuses what is, but reads differently elsewhere.
 *
 * Denials: ERR_GATEWAY_UPGRADE, ERR_GATEWAY_MALFORMED, ERR_GATEWAY_FRAMING, ERR_GATEWAY_HOST, ERR_GATEWAY_TARGET
 */
export function readRequestHead(
  request: Pick<IncomingMessage, 'method' | 'url' | 'httpVersion' | 'rawHeaders'>,
): RequestHead | Denial {
  const { method = '', httpVersion } = request;
  const fields = fieldsOf(request.rawHeaders);
  // RFC 9112 §6.3: HTTP/1.0 senders know no chunks, and keep connections only by extension.
  if (httpVersion !== '1.1') {
    return denial('ERR_GATEWAY_MALFORMED', `HTTP/${httpVersion} request, expected 1.1`, {});
  }
  if (method === 'CONNECT') return denial('ERR_GATEWAY_UPGRADE', 'CONNECT is not supported', {});
  const framing = readFraming(fields);
  if (!framing.ok) return framing;
  const isWebSocket = fields.upgrade !== undefined;
  const wrong = isWebSocket ? wrongWithUpgrade(method, fields, framing.hasBody) : undefined;
  if (wrong !== undefined) return wrong;
  const host = readHost(fields.host ?? []);
  if (!host.ok) return host;
  const target = readRequestTarget(request.url ?? '');
  if (!target.ok) return target;
  const { hasBody, contentLength } = framing;
  const { takesTrailers, isGrpc } = readUse(fields);
  return {
    ok: true,
    method,
    target,
    host: host.name,
    authority: host.sent,
    hasBody,
    contentLength,
    isWebSocket,
    isGrpc,
    takesTrailers,
  };
}

/** Every line of the fields that a head is judged by, which Node's joined `headers` hides. */
export type HeadFields = { [K in (typeof judged)[number]]?: string[] };

const judged = [
  'connection',
  'content-length',
  'content-type',
  'host',
  'sec-websocket-key',
  'sec-websocket-version',
  'te',
  'transfer-encoding',
  'upgrade',
] as const;
const isJudged: ReadonlySet<string> = new Set(judged);

export function fieldsOf(rawHeaders: readonly string[]): HeadFields {
  const fields: HeadFields = {};
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? '';
    if (!isJudged.has(name)) continue;
    const value = rawHeaders[i + 1] ?? '';
    const lines = fields[name as keyof HeadFields];
    if (lines === undefined) fields[name as keyof HeadFields] = [value];
    else lines.push(value);
  }
  return fields;
}

/** What a request is for, as far as the gateway treats it differently. */
export function readUse(fields: HeadFields): Pick<RequestHead, 'isGrpc' | 'takesTrailers'> {
  const isGrpc = /^application\/grpc(?:[+;]|$)/i.test(fields['content-type']?.[0] ?? '');
  return { isGrpc, takesTrailers: isGrpc || listHas(fields.te, 'trailers') };
}

type Framing =
  | { readonly ok: true; readonly hasBody: boolean; readonly contentLength: number | undefined }
  | Denial;

export function readFraming(fields: HeadFields): Framing {
  const lengths = fields['content-length'] ?? [];
  const codings = fields['transfer-encoding'] ?? [];
  // RFC 9112 §6.1: both at once is an attempt at smuggling; §6.3: so is more than one length.
  if (lengths.length + codings.length > 1) {
    const found = `${lengths.length} content-length and ${codings.length} transfer-encoding headers`;
    return denial('ERR_GATEWAY_FRAMING', `${found}, at most one of either is taken`, {});
  }
  const [coding] = codings;
  if (coding !== undefined) {
    // RFC 9112 §7: other transfer codings would have to be undone here.
    if (coding.trim().toLowerCase() === 'chunked') {
      return { ok: true, hasBody: true, contentLength: undefined };
    }
    return denial('ERR_GATEWAY_FRAMING', `transfer-encoding "${coding}", expected chunked`, {});
  }
  const [length] = lengths;
  if (length === undefined) return { ok: true, hasBody: false, contentLength: undefined };
  if (!/^\d{1,15}$/.test(length)) {
    return denial('ERR_GATEWAY_FRAMING', `content-length "${length}" is no length`, {});
  }
  return { ok: true, hasBody: length !== '0', contentLength: Number(length) };
}

// RFC 6455 §4.1, §4.2.1; other protocols are not switched to.
function wrongWithUpgrade(
  method: string,
  fields: HeadFields,
  hasBody: boolean,
): Denial | undefined {
  const refuse = (detail: string): Denial => denial('ERR_GATEWAY_UPGRADE', detail, {});
  const { upgrade = [], 'sec-websocket-key': keys = [] } = fields;
  const [wanted = ''] = upgrade;
  if (upgrade.length > 1 || wanted.toLowerCase() !== 'websocket') {
    return refuse(`upgrade to "${upgrade.join(', ')}", expected websocket`);
  }
  if (method !== 'GET' || hasBody) {
    return refuse(`upgrade by ${method}${hasBody ? ' with a body' : ''}, expected GET`);
  }
  if (!listHas(fields.connection, 'upgrade')) {
    return refuse('upgrade that the connection header does not name');
  }
  const [version = ''] = fields['sec-websocket-version'] ?? [];
  if (version !== '13') return refuse(`WebSocket version "${version}", expected 13`);
  if (keys.length === 1 && /^[A-Za-z0-9+/]{22}==$/.test(keys[0] ?? '')) return undefined;
  return refuse('WebSocket without one key of 16 octets');
}

export type Host = { readonly ok: true; readonly name: string; readonly sent: string } | Denial;

// RFC 9112 §3.2: exactly one, or 400.
export function readHost(hosts: readonly string[]): Host {
  const [host] = hosts;
  if (host === undefined || hosts.length > 1) {
    return denial('ERR_GATEWAY_HOST', `${hosts.length} host headers, expected one`, {});
  }
  const parts = /^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::\d{1,5})?$/.exec(host);
  const name = parts?.[1];
  if (name === undefined) return denial('ERR_GATEWAY_HOST', 'host header is no host name', {});
  return { ok: true, name: name.toLowerCase().replace(/\.$/, ''), sent: host };
}

// RFC 9110 §5.6.1
function listHas(lines: readonly string[] | undefined, member: string): boolean {
  if (lines === undefined) return false;
  return lines.some((line) =>
    line.split(',').some((each) => each.trim().toLowerCase().split(';')[0] === member),
  );
}
