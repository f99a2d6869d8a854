import { type ErrorCode, isErrorCode, toBase64 } from '@countersign/base';
import {
  type CertificateWishes,
  type IssueResponse,
  issueLimits,
  namesIn,
  readWishes,
  serialRule,
  wishesOf,
} from './issue-messages.ts';
import { type Members, readMessage } from './read-message.ts';

/**
 * `POST /v1/issue/batch`, over mTLS or on the admin socket: many certificates in one call, each answered by itself, in
 * the order asked.
 */
export interface BatchRequest {
  /** 1 to `batchLimits.orders`. */
  readonly orders: readonly BatchOrder[];
}

export interface BatchOrder extends CertificateWishes {
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  /**
   * True: the names of the certificate that the caller shows, as `POST /v1/renew` gives them. Otherwise the names below,
   * or those of the request where none are given, for callers who may order for others.
   */
  readonly own: boolean;
  readonly spiffeId?: string;
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  /** For the subject, such as a user of a database: judged as the names are, and not one of them. */
  readonly commonName?: string;
}

/** A certificate as single calls answer it, without the bundle, which is the same for all. */
export interface BatchIssued extends Omit<IssueResponse, 'bundle' | 'trustDomain'> {
  readonly ok: true;
}

export interface BatchRefused {
  readonly ok: false;
  /** Opaque, of the whole call: the authority's log lines about it have the same. */
  readonly id: string;
  readonly code: ErrorCode;
  /** Where the caller may know it. */
  readonly detail?: string;
}

export interface BatchResponse {
  /** One for each order, in their order. */
  readonly results: readonly (BatchIssued | BatchRefused)[];
  readonly bundle: IssueResponse['bundle'];
  readonly trustDomain: string;
}

export const batchLimits = { orders: 256 } as const;

export function parseBatchRequest(json: unknown): BatchRequest {
  return readMessage('batch request', json, (m) => ({
    orders: m.list('orders', { minItems: 1, maxItems: batchLimits.orders }, readOrder),
  }));
}

function readOrder(item: unknown, at: string): BatchOrder {
  return readMessage(`batch request, ${at}`, item, (m) => {
    const own = m.flag('own');
    const names = namesIn(m);
    const commonName = m.optional('commonName', (name) => m.text(name, { min: 1, max: 64 }));
    const hasNames = names.spiffeId !== undefined || names.dns.length + names.ip.length > 0;
    const isNamed = hasNames || commonName !== undefined;
    if (own && isNamed) throw m.fail('own', 'is true, and names are given as well');
    return {
      ...{ csr: m.bytes('csr', issueLimits.csrBytes), own, ...names },
      ...(commonName !== undefined && { commonName }),
      ...readWishes(m),
    };
  });
}

export function formatBatchRequest({ orders }: BatchRequest): string {
  return JSON.stringify({
    orders: orders.map((order) => ({ ...order, csr: toBase64(order.csr), ...wishesOf(order) })),
  });
}

/** Intermediates are written once, however many certificates they signed. */
export function formatBatchResponse({ results, bundle, trustDomain }: BatchResponse): string {
  const chains: { readonly certificates: readonly string[] }[] = [];
  // An intermediate has one chain, and is the same value in every certificate that it signed.
  const places = new Map<Uint8Array | undefined, number>();
  const placeOf = (above: readonly Uint8Array[]): number => {
    const [issuer] = above;
    const place = places.get(issuer) ?? chains.push({ certificates: above.map(toBase64) }) - 1;
    places.set(issuer, place);
    return place;
  };
  const written = results.map((result) => {
    if (!result.ok) return result;
    const { chain, ...rest } = result;
    const [leaf = new Uint8Array(), ...above] = chain;
    return { ...rest, certificate: toBase64(leaf), chain: placeOf(above) };
  });
  return JSON.stringify({ results: written, chains, bundle, trustDomain });
}

export function parseBatchResponse(json: unknown): BatchResponse {
  return readMessage('batch response', json, readResponse, { unknown: 'ignore' });
}

function readResponse(m: Members): BatchResponse {
  const each = <T>(name: string, read: (members: Members) => T): T[] =>
    m.list(name, { maxItems: batchLimits.orders }, (item, at) =>
      readMessage(`batch response, ${at}`, item, read, { unknown: 'ignore' }),
    );
  const chains = each('chains', (members) =>
    members.listOfBytes('certificates', {
      maxItems: issueLimits.chainItems,
      maxBytes: issueLimits.certificateBytes,
    }),
  );
  return {
    results: each('results', (members) => readResult(members, chains)),
    bundle: m.object('bundle'),
    trustDomain: m.text('trustDomain', { max: 255 }),
  };
}

function readResult(
  m: Members,
  chains: readonly (readonly Uint8Array[])[],
): BatchIssued | BatchRefused {
  if (!m.boolean('ok')) return readRefused(m);
  const spiffeId = m.optional('spiffeId', (name) => m.text(name, { max: 2048 }));
  const place = m.integer('chain', { min: 0, max: chains.length - 1 });
  return {
    ok: true,
    ...(spiffeId === undefined ? {} : { spiffeId }),
    serial: m.text('serial', serialRule),
    notAfter: m.integer('notAfter', { min: 0 }),
    chain: [m.bytes('certificate', issueLimits.certificateBytes), ...(chains[place] ?? [])],
  };
}

function readRefused(m: Members): BatchRefused {
  const code = m.text('code', { max: 128 });
  const detail = m.optional('detail', (name) => m.text(name, { max: 8192 }));
  return {
    ok: false,
    id: m.text('id', { max: 128, pattern: /^[\x21-\x7e]+$/ }),
    code: isErrorCode(code) ? code : 'ERR_WIRE_REFUSED',
    ...(detail === undefined ? {} : { detail }),
  };
}
