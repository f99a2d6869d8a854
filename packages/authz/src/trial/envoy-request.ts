import type { MeshSettings } from '../policy/mesh-settings.ts';
import { remoteAddress } from '../request/client-address.ts';
import { hasHeader, headerValues } from '../request/header-lines.ts';
import { normalizePath } from '../request/normalize-path.ts';
import { normalizeClaims } from '../rules/claim-match.ts';
import type { RequestFacts } from '../rules/rule-facts.ts';
import type { TableRequest, TableWorkload } from './authz-table.ts';

/** What a request comes through before rules see it. */
export interface RequestWay {
  readonly mesh: MeshSettings;
  readonly workload: TableWorkload;
  readonly role: 'sidecar' | 'edge';
  readonly isTls: boolean;
  readonly spaceDelimitedClaims: readonly string[];
}

export type EnvoyRequest =
  | { readonly ok: true; readonly facts: RequestFacts; readonly remoteIp: string | undefined }
  | { readonly ok: false; readonly reason: string };

/** A row's request as Envoy hands it to its filters, or why it answers 400 before any of them. */
export function envoyRequest(request: TableRequest, way: RequestWay): EnvoyRequest {
  const { mesh } = way;
  const { method = 'GET' } = request;
  // RFC 9112 §3.2.2: the host of an absolute-form target is the host, whatever the header says.
  const absolute = /^https?:\/\/([^/?#]+)(.*)$/is.exec(request.path ?? '');
  const target = absolute?.[2] ?? request.path ?? '/';
  if (!methods.has(method)) return refused(`method "${method}" is none that HTTP/1 servers know`);
  const path = normalizePath(target === '' ? '/' : target, mesh.pathNormalization);
  if (typeof path === 'string') return refused(`the path ${path}`);
  const host = absolute?.[1] ?? request.host ?? headerValues(request.headers, 'host')[0] ?? '';
  // RFC 3986 §3.2: what Envoy takes for an authority.
  if (/[^!$&'()*+,\-.0-9:;=@A-Za-z[\]_~]/.test(host)) return refused(`"${host}" is no host`);
  const remoteIp = request.remoteIp ?? remoteIpOf(request, way);
  const headers = headersAtFilters(request, way, remoteIp);
  const proto = headerValues(headers, 'x-forwarded-proto')[0] ?? 'http';
  const pseudo: Readonly<Record<string, string>> = {
    ':authority': host,
    host,
    ':method': method,
    ':path': `${path.path}${path.query}`,
    ':scheme': proto === 'https' ? 'https' : 'http',
  };
  const pseudoOf = (name: string) => (Object.hasOwn(pseudo, name) ? pseudo[name] : undefined);
  const facts: RequestFacts = {
    method,
    path: path.path,
    host,
    claims:
      request.jwt === undefined
        ? undefined
        : normalizeClaims(request.jwt, way.spaceDelimitedClaims),
    hasHeader(name, matches) {
      const value = pseudoOf(name);
      if (value !== undefined) return matches?.(value) ?? true;
      return hasHeader(headers, name, matches);
    },
    headerValues(name) {
      const value = pseudoOf(name);
      return value === undefined ? headerValues(headers, name) : [value];
    },
  };
  return { ok: true, facts, remoteIp };
}

function refused(reason: string): EnvoyRequest {
  return { ok: false, reason: `the request is refused before any rule: ${reason}` };
}

function remoteIpOf({ headers, sourceIp }: TableRequest, { mesh, role }: RequestWay) {
  const [forwardedFor] = headerValues(headers, 'x-forwarded-for');
  const trust =
    role === 'sidecar'
      ? ({ kind: 'sidecar' } as const)
      : ({ kind: 'edge', trustedProxies: mesh.trustedProxies } as const);
  return remoteAddress({ forwardedFor, sourceIp }, trust);
}

/** The caller's headers without those that Envoy keeps to itself, and with those that it sets before any filter. */
function headersAtFilters(
  request: TableRequest,
  way: RequestWay,
  remoteIp: string | undefined,
): readonly string[] {
  const set = headersSet(request, way, remoteIp);
  const kept: string[] = [];
  for (let i = 0; i < request.headers.length; i += 2) {
    const name = request.headers[i]?.toLowerCase() ?? '';
    // RFC 9110 §5.5: what is around a value is no part of it.
    const value = (request.headers[i + 1] ?? '').replace(/^[ \t]+|[ \t]+$/g, '');
    const isKept = !removedHeaders.has(name) || (name === 'te' && value === 'trailers');
    if (isKept && !Object.hasOwn(set, name)) kept.push(name, value);
  }
  for (const [name, value] of Object.entries(set)) if (value !== undefined) kept.push(name, value);
  return kept;
}

/** Undefined: taken away and not set. */
function headersSet(
  { headers, principal, sourceIp }: TableRequest,
  { mesh, workload, role, isTls }: RequestWay,
  remoteIp: string | undefined,
): Readonly<Record<string, string | undefined>> {
  const [given, forwardedFor, id] = ['x-forwarded-proto', 'x-forwarded-for', 'x-request-id'].map(
    (name) => headerValues(headers, name)[0],
  );
  const own = `spiffe://${mesh.trustDomain}/ns/${workload.namespace}/sa/${workload.serviceAccount}`;
  const peer = principal?.replace(/^(?!spiffe:\/\/)/, 'spiffe://');
  const clientCertificate =
    isTls && peer !== undefined
      ? `By=${own};Hash=${'0'.repeat(64)};Subject="";URI=${peer}`
      : undefined;
  const scheme = isTls ? 'https' : 'http';
  const isBelieved = role === 'sidecar' || mesh.trustedProxies > 0;
  const common = {
    'x-forwarded-client-cert': clientCertificate,
    'x-forwarded-proto': isBelieved ? (given ?? scheme) : scheme,
  };
  if (role === 'sidecar') return { ...common, 'x-request-id': id ?? anyRequestId };
  return {
    ...common,
    'x-request-id': anyRequestId,
    'x-forwarded-for': [forwardedFor, sourceIp].filter((each) => each !== undefined).join(','),
    'x-envoy-external-address': remoteIp,
  };
}

/** One is made for every request that has none. */
const anyRequestId = '00000000-0000-4000-8000-000000000000';

/** Hop by hop, or Envoy's own words that nobody outside may use. Found by asking Envoy 1.40. */
const removedHeaders: ReadonlySet<string> = new Set([
  ...['connection', 'host', 'keep-alive', 'proxy-connection', 'te', 'transfer-encoding', 'upgrade'],
  ...['x-envoy-expected-rq-timeout-ms', 'x-envoy-force-trace', 'x-envoy-hedge-on-per-try-timeout'],
  ...['x-envoy-internal', 'x-envoy-ip-tags', 'x-envoy-max-retries', 'x-envoy-original-url'],
  ...['x-envoy-retriable-header-names', 'x-envoy-retriable-status-codes'],
  ...['x-envoy-retry-grpc-on', 'x-envoy-retry-on', 'x-envoy-upstream-alt-stat-name'],
  ...['x-envoy-upstream-rq-per-try-timeout-ms', 'x-envoy-upstream-rq-timeout-alt-response'],
  ...['x-envoy-upstream-rq-timeout-ms', 'x-envoy-upstream-stream-duration-ms'],
]);

/** What Envoy's HTTP/1 codec takes. */
const methods: ReadonlySet<string> = new Set([
  ...['ACL', 'BIND', 'CHECKOUT', 'COPY', 'DELETE', 'GET', 'HEAD', 'LINK', 'LOCK'],
  ...['MERGE', 'MKACTIVITY', 'MKCALENDAR', 'MKCOL', 'MOVE', 'MSEARCH', 'NOTIFY', 'OPTIONS'],
  ...['PATCH', 'POST', 'PROPFIND', 'PROPPATCH', 'PURGE', 'PUT', 'REBIND', 'REPORT', 'SEARCH'],
  ...['SOURCE', 'SUBSCRIBE', 'TRACE', 'UNBIND', 'UNLINK', 'UNLOCK', 'UNSUBSCRIBE'],
]);
