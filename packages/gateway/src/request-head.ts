import type { IncomingMessage } from 'node:http';
import { type Denial, denial } from '@countersign/base';
import { type RequestTarget, readRequestTarget } from './request-target.ts';

/** A request head that means the same to everybody who reads it. */
export interface RequestHead {
  readonly ok: true;
  readonly method: string;
  readonly target: RequestTarget;
  /** Lowercase, without the port and a trailing dot; IPv6 in brackets. */
  readonly host: string;
  readonly hasBody: boolean;
  /** As announced; undefined for chunked bodies and none. */
  readonly contentLength: number | undefined;
}

/**
 * Checks what Node's strict parser leaves open. Both its answers and ours are needed: it refuses what is no HTTP/1.1;
 * this refuses what is, but reads differently elsewhere.
 *
 * Denials: ERR_GATEWAY_UPGRADE, ERR_GATEWAY_FRAMING, ERR_GATEWAY_HOST, ERR_GATEWAY_TARGET
 */
export function readRequestHead(request: IncomingMessage): RequestHead | Denial {
  const method = request.method ?? '';
  if (request.headers.upgrade !== undefined || method === 'CONNECT') {
    const wanted = method === 'CONNECT' ? 'CONNECT' : `upgrade to "${request.headers.upgrade}"`;
    return denial('ERR_GATEWAY_UPGRADE', `${wanted} is not supported yet`, {});
  }
  // RFC 9112 §6.3: HTTP/1.0 senders know no chunks, and keep connections only by extension.
  if (request.httpVersion !== '1.1') {
    return denial('ERR_GATEWAY_MALFORMED', `HTTP/${request.httpVersion} request, expected 1.1`, {});
  }
  const framing = readFraming(request);
  if (!framing.ok) return framing;
  const host = readHost(request);
  if (!host.ok) return host;
  const target = readRequestTarget(request.url ?? '');
  if (!target.ok) return target;
  const { hasBody, contentLength } = framing;
  return { ok: true, method, target, host: host.name, hasBody, contentLength };
}

type Framing =
  | { readonly ok: true; readonly hasBody: boolean; readonly contentLength: number | undefined }
  | Denial;

function readFraming(request: IncomingMessage): Framing {
  const lengths = valuesOf(request, 'content-length');
  const codings = valuesOf(request, 'transfer-encoding');
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

type Host = { readonly ok: true; readonly name: string } | Denial;

// RFC 9112 §3.2: exactly one, or 400.
function readHost(request: IncomingMessage): Host {
  const hosts = valuesOf(request, 'host');
  const [host] = hosts;
  if (host === undefined || hosts.length > 1) {
    return denial('ERR_GATEWAY_HOST', `${hosts.length} host headers, expected one`, {});
  }
  const parts = /^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::\d{1,5})?$/.exec(host);
  const name = parts?.[1];
  if (name === undefined) return denial('ERR_GATEWAY_HOST', 'host header is no host name', {});
  return { ok: true, name: name.toLowerCase().replace(/\.$/, '') };
}

/** Every field line of that name, which Node's joined `headers` hides. */
function valuesOf(request: IncomingMessage, name: string): string[] {
  const values: string[] = [];
  const { rawHeaders } = request;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]?.toLowerCase() === name) values.push(rawHeaders[i + 1] ?? '');
  }
  return values;
}
