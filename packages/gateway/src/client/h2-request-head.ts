import { type Denial, denial } from '@countersign/base';
import {
  fieldsOf,
  type HeadFields,
  type RequestHead,
  readFraming,
  readHost,
  readUse,
} from '../request-head.ts';
import { readRequestTarget } from '../request-target.ts';

export interface H2Head {
  readonly head: RequestHead | Denial;
  /** As HTTP/1.1 has them: `host` instead of `:authority`, cookies in one line. */
  readonly rawHeaders: readonly string[];
}

/**
 * Checks what nghttp2 leaves open of an HTTP/2 head (RFC 9113 §8.2, §8.3), and writes its fields as a request of any
 * version has them.
 *
 * Denials: ERR_GATEWAY_UPGRADE, ERR_GATEWAY_MALFORMED, ERR_GATEWAY_FRAMING, ERR_GATEWAY_HOST, ERR_GATEWAY_TARGET
 *
 * @param received names and values alternating, pseudo-headers first
 * @param hasBody whether the stream went on after its head
 */
export function readH2RequestHead(received: readonly string[], hasBody: boolean): H2Head {
  const pseudo: Pseudo = { ':method': '', ':path': '' };
  const rest: string[] = [];
  const cookies: string[] = [];
  const hosts: string[] = [];
  for (let i = 0; i + 1 < received.length; i += 2) {
    const name = received[i] ?? '';
    const value = received[i + 1] ?? '';
    if (name.startsWith(':')) pseudo[name as keyof Pseudo] = value;
    else if (name === 'host') hosts.push(value);
    else if (name === 'cookie') cookies.push(value);
    else rest.push(name, value);
  }
  // RFC 9113 §8.2.3: crumbs are for compression alone.
  if (cookies.length > 0) rest.push('cookie', cookies.join('; '));
  const authority = pseudo[':authority'] ?? hosts[0];
  const rawHeaders = authority === undefined ? rest : ['host', authority, ...rest];
  // RFC 9113 §8.3.1: a host that differs is for somebody else to read.
  if (hosts.some((host) => host.toLowerCase() !== authority?.toLowerCase()) || hosts.length > 1) {
    const detail = `host header "${hosts.join('", "')}" beside authority "${authority}"`;
    return { head: denial('ERR_GATEWAY_HOST', detail, {}), rawHeaders };
  }
  return { head: readHead(pseudo, fieldsOf(rawHeaders), hasBody), rawHeaders };
}

interface Pseudo {
  ':method': string;
  ':path': string;
  ':authority'?: string;
  ':protocol'?: string;
}

function readHead(pseudo: Pseudo, fields: HeadFields, hasBody: boolean): RequestHead | Denial {
  const { ':method': method, ':protocol': protocol } = pseudo;
  // Rules compare methods as they are written, and servers exist that do not.
  if (!/^[A-Z][A-Z-]{0,31}$/.test(method)) {
    return denial('ERR_GATEWAY_MALFORMED', `method ${JSON.stringify(method.slice(0, 40))}`, {});
  }
  const isWebSocket = method === 'CONNECT' && protocol === 'websocket';
  if (method === 'CONNECT' && !isWebSocket) {
    const wanted = protocol === undefined ? '' : ` of "${protocol.slice(0, 40)}"`;
    return denial('ERR_GATEWAY_UPGRADE', `CONNECT${wanted} is not supported`, {});
  }
  if (fields['transfer-encoding'] !== undefined || fields.upgrade !== undefined) {
    return denial('ERR_GATEWAY_FRAMING', 'header of a connection in an HTTP/2 request', {});
  }
  const framing = readFraming(fields);
  if (!framing.ok) return framing;
  const host = readHost(fields.host ?? []);
  if (!host.ok) return host;
  const target = readRequestTarget(pseudo[':path']);
  if (!target.ok) return target;
  const { contentLength } = framing;
  return {
    ...{ ok: true, method: isWebSocket ? 'GET' : method, target },
    ...{ host: host.name, authority: host.sent },
    ...{ hasBody: hasBody && !isWebSocket, contentLength, isWebSocket, ...readUse(fields) },
  };
}
