import { type Denial, denial } from '@countersign/base';
import type { CalledHost } from './outbound-model.ts';

/** What a proxy is asked for. */
export interface ProxyTarget extends CalledHost {
  readonly ok: true;
  /** `host[:port]` as it is to be sent. */
  readonly authority: string;
  /** In origin form. */
  readonly target: string;
}

// RFC 9112 §3.2.3: authority-form, for CONNECT alone, with its port.
export function readConnectTarget(text: string): ProxyTarget | Denial {
  const found = /^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):(\d{1,5})$/.exec(text);
  const port = Number(found?.[2]);
  if (found?.[1] === undefined || port < 1 || port > 65_535) {
    return denial('ERR_GATEWAY_TARGET', 'CONNECT to something that is no HOST:PORT');
  }
  return { ok: true, ...calledHost(found[1], port), authority: text, target: '' };
}

// RFC 9112 §3.2.2: absolute-form, whose host counts whatever the Host header says.
export function readAbsoluteTarget(text: string): ProxyTarget | Denial {
  const found =
    /^http:\/\/(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(\d{1,5}))?(\/[^#]*|\?[^#]*)?$/i.exec(
      text,
    );
  const port = Number(found?.[2] ?? 80);
  if (found?.[1] === undefined || port < 1 || port > 65_535) {
    const detail = 'a proxy is asked for http://HOST[:PORT]/PATH, or with CONNECT';
    return denial('ERR_GATEWAY_TARGET', detail);
  }
  const rest = found[3] ?? '/';
  const authority = `${found[1]}${found[2] === undefined ? '' : `:${found[2]}`}`;
  const target = rest.startsWith('/') ? rest : `/${rest}`;
  return { ok: true, ...calledHost(found[1], port), authority, target };
}

function calledHost(written: string, port: number): CalledHost {
  return {
    host: written
      .replace(/^\[(.*)\]$/, '$1')
      .toLowerCase()
      .replace(/\.$/, ''),
    port,
  };
}
