import { type Denial, denial } from '@countersign/base';

/** A request target in the one form that rules are asked about and upstreams get. */
export interface RequestTarget {
  readonly ok: true;
  /**
   * Absolute, without dot segments and empty segments; unreserved characters are not percent-encoded. An encoded slash
   * stays one: rules are asked about both its readings.
   */
  readonly path: string;
  /** With its `?`, as sent; empty where there is none. */
  readonly query: string;
}

/**
 * Reads the target of a request line. A path that two parsers could read differently is refused, not repaired: rules
 * for `/admin` must not be walked around by `/x/../admin`, `//admin`, `/%61dmin` or a backslash.
 *
 * Denials: ERR_GATEWAY_TARGET
 */
export function readRequestTarget(target: string): RequestTarget | Denial {
  // RFC 9112 §3.2: origin-form alone; absolute-form is for forward proxies, and `*` and authority-form have no path.
  if (!target.startsWith('/')) return refuse(target, 'is not an absolute path');
  // RFC 3986 §2: visible ASCII; a fragment never travels.
  if (!/^[\x21-\x7e]+$/.test(target) || target.includes('#')) {
    return refuse(target, 'has a character that must be percent-encoded');
  }
  const mark = target.indexOf('?');
  const rawPath = mark === -1 ? target : target.slice(0, mark);
  const query = mark === -1 ? '' : target.slice(mark);
  if (/%(?![0-9a-fA-F]{2})/.test(rawPath)) return refuse(target, 'has a broken percent-encoding');
  // RFC 3986 §6.2.2.1, §6.2.2.2: encoded unreserved characters are those characters, hexadecimal is uppercase.
  const path = rawPath.replaceAll(/%[0-9a-fA-F]{2}/g, decodeUnreserved);
  if (/%(?:5C|00|0A|0D)|\\/.test(path)) {
    return refuse(target, 'has a backslash or a control character');
  }
  // RFC 3629 §10: overlong forms, such as %C0%AF for a slash, are what lenient decoders fall for.
  if (!isUtf8(path)) return refuse(target, 'has percent-encoded octets that are no UTF-8');
  if (path.includes('//')) return refuse(target, 'has an empty segment');
  // Some servers decode an encoded slash, or drop a `;parameter`, before they resolve dots.
  if (/(?:\/|%2F)\.{1,2}(?:\/|%2F|;|$)/.test(path)) return refuse(target, 'has a dot segment');
  return { ok: true, path, query };
}

function isUtf8(path: string): boolean {
  if (!path.includes('%')) return true;
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    return false;
  }
}

function decodeUnreserved(triplet: string): string {
  const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16));
  return /[A-Za-z0-9\-._~]/.test(character) ? character : triplet.toUpperCase();
}

function refuse(target: string, reason: string): Denial {
  const shown = target.length > 200 ? `${target.slice(0, 200)}…` : target;
  return denial('ERR_GATEWAY_TARGET', `request target ${JSON.stringify(shown)} ${reason}`, {});
}
