import { isIdentityHeader } from '@countersign/wire';

// RFC 9110 §7.6.1, and proxies' own; `expect` is answered here, a request's trailer section is not passed on, and
// the handshake of a WebSocket is made anew.
const hopByHop = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'sec-websocket-key',
  'upgrade',
]);

/** What a caller may not say of itself: the gateway says it. */
const overwritten = new Set([
  'expect',
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-real-ip',
]);

/** What becomes of a header by its name alone. */
interface NameVerdict {
  /** Lowercase. */
  readonly plain: string;
  /** Lowercase, `_` read as `-`: upstreams behind CGI and WSGI read both alike. */
  readonly dashed: string;
  readonly isHopByHop: boolean;
  /** A caller's is not passed on. */
  readonly isWithheld: boolean;
}

/** The same few names come with every request; what is met beyond so many is judged anew each time. */
const mostKnownNames = 1000;
const longestKnownName = 64;
const knownNames = new Map<string, NameVerdict>();

function verdictOn(name: string): NameVerdict {
  const known = knownNames.get(name);
  if (known !== undefined) return known;
  const plain = name.toLowerCase();
  const dashed = plain.includes('_') ? plain.replaceAll('_', '-') : plain;
  const isHopByHop = hopByHop.has(plain);
  const isOurs = overwritten.has(dashed) || isIdentityHeader(plain);
  const isWithheld = isHopByHop || (dashed !== plain && isOfHop(dashed)) || isOurs;
  const verdict = { plain, dashed, isHopByHop, isWithheld };
  if (knownNames.size < mostKnownNames && name.length <= longestKnownName) {
    knownNames.set(name, verdict);
  }
  return verdict;
}

/**
 * The header list of the upstream request, names and values alternating: the caller's end-to-end headers (`host`
 * included) without anything that speaks of an identity or of this hop, then `own`.
 *
 * @param raw names and values alternating, as received
 * @param without lowercase names of others that only we may say
 */
export function upstreamHeaders(
  raw: readonly string[],
  own: readonly string[],
  without?: ReadonlySet<string>,
): string[] {
  const nominated = nominatedBy(raw);
  const headers: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const { plain, dashed, isWithheld } = verdictOn(name);
    if (isWithheld || nominated?.has(plain) === true || without?.has(dashed) === true) continue;
    headers.push(name, raw[i + 1] ?? '');
  }
  headers.push(...own);
  return headers;
}

/** Whether a header frames a message, or is of one connection alone. @param name lowercase, `_` read as `-` */
export function isOfHop(name: string): boolean {
  return hopByHop.has(name) || neverNominated.has(name);
}

/**
 * The end-to-end headers of an upstream's response, names and values alternating.
 *
 * @param without lowercase names of others that are not passed on
 */
export function downstreamHeaders(raw: readonly string[], without?: ReadonlySet<string>): string[] {
  const nominated = nominatedBy(raw);
  const headers: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const { plain, isHopByHop } = verdictOn(name);
    if (isHopByHop || nominated?.has(plain) === true || without?.has(plain) === true) continue;
    headers.push(name, raw[i + 1] ?? '');
  }
  return headers;
}

/** What an upstream says after its response's body: nothing that frames it, or is of this hop (RFC 9110 §6.5.1). */
export function downstreamTrailers(raw: readonly string[]): [string, string][] {
  const trailers: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    const plain = name.toLowerCase();
    if (hopByHop.has(plain) || neverTrailing.has(plain)) continue;
    trailers.push([name, raw[i + 1] ?? '']);
  }
  return trailers;
}

const neverTrailing = new Set([
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'host',
  'location',
  'set-cookie',
  'www-authenticate',
]);

// RFC 9110 §7.6.1: what `connection` names belongs to this hop. Never so the framing and the host, which would let a
// caller have them removed.
const connection = 'connection';
const neverNominated = new Set(['host', 'content-length', 'close', '']);

/**
 * What a caller sent without what it nominates itself as of this hop: so nothing that is written beside it later, of a
 * token or by an authorizer, can be named by a caller and then not reach the upstream; and what is judged is what is sent.
 *
 * @returns the very same where nothing is nominated, which is most usual
 */
export function withoutNominated(raw: readonly string[]): readonly string[] {
  const nominated = nominatedBy(raw);
  const isEndToEnd = (name: string) => nominated?.has(name) === true && !hopByHop.has(name);
  if (nominated === undefined || ![...nominated].some(isEndToEnd)) return raw;
  const left: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name = '', value = ''] = [raw[i], raw[i + 1]];
    const plain = name.toLowerCase();
    if (isEndToEnd(plain)) continue;
    const kept =
      plain === connection
        ? value.split(',').filter((option) => !isEndToEnd(option.trim().toLowerCase()))
        : [value];
    if (kept.length > 0) left.push(name, kept.join(','));
  }
  return left;
}

function nominatedBy(raw: readonly string[]): Set<string> | undefined {
  let nominated: Set<string> | undefined;
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? '';
    if (name.length !== connection.length || name.toLowerCase() !== connection) continue;
    nominated ??= new Set();
    for (const option of (raw[i + 1] ?? '').toLowerCase().split(',')) {
      const named = option.trim();
      if (!neverNominated.has(named)) nominated.add(named);
    }
  }
  return nominated;
}
