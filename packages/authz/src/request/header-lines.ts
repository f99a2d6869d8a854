import type { MatchesText } from '../rules/text-match.ts';

/**
 * Headers of which Envoy keeps one value: lines of them are joined by a comma before rules look at them. Of all others
 * each line counts by itself. Found by asking Envoy 1.40; the interop test asks again.
 */
const joinedHeaders: ReadonlySet<string> = new Set([
  ...['accept', 'accept-encoding', 'access-control-request-headers'],
  ...['access-control-request-method', 'access-control-request-private-network'],
  ...['authorization', 'cache-control', 'content-encoding', 'content-type', 'expect'],
  ...['grpc-accept-encoding', 'grpc-timeout', 'host'],
  ...['if-match', 'if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since'],
  ...['origin', 'pragma', 'proxy-status', 'referer', 'user-agent', 'via'],
  ...['x-client-trace-id', 'x-envoy-attempt-count', 'x-envoy-decorator-operation'],
  ...['x-envoy-downstream-service-cluster', 'x-envoy-downstream-service-node'],
  ...['x-envoy-external-address', 'x-envoy-is-timeout-retry', 'x-envoy-original-host'],
  ...['x-envoy-original-path', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-port'],
  ...['x-forwarded-proto', 'x-request-id'],
]);

/** Names and values alternating, as `node:http` gives them. */
export type RawHeaders = readonly string[];

/** Each line by itself. @param name lowercase */
export function headerLines(raw: RawHeaders, name: string): readonly string[] {
  const values: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    if (isNamed(raw[i] ?? '', name)) values.push(raw[i + 1] ?? '');
  }
  return values;
}

/** The values that rules compare: a line each, or one for headers that are joined. */
export function headerValues(raw: RawHeaders, name: string): readonly string[] {
  const values = headerLines(raw, name);
  return values.length > 1 && joinedHeaders.has(name) ? [values.join(',')] : values;
}

/** Whether a header of this lowercase name is there, and one of its values matches where it has to. */
export function hasHeader(
  raw: RawHeaders,
  name: string,
  matches: MatchesText | undefined,
): boolean {
  if (matches === undefined) {
    for (let i = 0; i < raw.length; i += 2) if (isNamed(raw[i] ?? '', name)) return true;
    return false;
  }
  if (joinedHeaders.has(name)) {
    const [value] = headerValues(raw, name);
    return value !== undefined && matches(value);
  }
  for (let i = 0; i < raw.length; i += 2) {
    if (isNamed(raw[i] ?? '', name) && matches(raw[i + 1] ?? '')) return true;
  }
  return false;
}

/** HTTP/2 sends names in lowercase, HTTP/1 as it likes. */
function isNamed(written: string, name: string): boolean {
  return written.length === name.length && (written === name || written.toLowerCase() === name);
}
