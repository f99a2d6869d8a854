import { BlockList, isIP } from 'node:net';
import { configIssue, durationSchema, type SourceDocument, unsupported } from '@countersign/config';
import { spiffeIdOf } from '@countersign/spiffe';
import { hopHeader } from '@countersign/wire';
import { z } from 'zod';
import { plainName } from './caller-headers.ts';
import { headerNames } from './model/header-schema.ts';
import { rateLimitsSchema } from './rate-limits/rate-limit-config.ts';
import { isLocal } from './tunnel/tunnel-address.ts';

/** Where clients connect, and what they may speak there. */
export type ListenerConfig = z.output<typeof listenerSchema>;
export type TunnelUpstreamConfig = NonNullable<ListenerConfig['upstream']>;

export const portSchema = z.int().min(0).max(65_535);
export const addressSchema = z
  .string()
  .refine((text) => isIP(text) !== 0 || text === 'localhost', 'expected an IP address');

const networkSchema = z
  .string()
  .refine((text) => networkOf(text) !== undefined, 'expected a network such as 10.0.0.0/8');

/** Of a listener that passes bytes through. */
const tunnelUpstreamSchema = z.strictObject({
  /** `tcp://host:port`, or `unix:/path`. */
  url: z.string(),
  /** Who must answer there by mTLS: one, or any of several. Absent: clear text, on this machine alone. */
  spiffeId: z.union([z.string(), z.array(z.string()).min(1)]).optional(),
  connectTimeout: durationSchema().default(5000),
  /** Without a byte in either direction; 0 waits for ever. */
  idleTimeout: durationSchema().default(3_600_000),
  /** For one side, after the other has said its last; 0 ends both at once. Absent: for ever. */
  closeTimeout: durationSchema().optional(),
  /** Of a connection, however busy it is. Absent: for ever. */
  maxLifetime: durationSchema().optional(),
  /** `v2` tells the upstream of the client before the handshake: its address, and what its certificate proved. */
  proxyProtocol: z.enum(['v2']).optional(),
});

/** What the gateway says by itself. */
const saidAnyway: ReadonlySet<string> = new Set([
  ...['x-forwarded-client-cert', 'client-cert', 'client-cert-chain', hopHeader.toLowerCase()],
  ...['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'forwarded'],
]);

function checkCallerNames(written: Readonly<Record<string, string>>, context: z.RefinementCtx) {
  const seen = new Map<string, string>();
  for (const name of Object.keys(written)) {
    const plain = plainName(name);
    const twin = seen.get(plain);
    const wrong = saidAnyway.has(plain)
      ? 'is a header that the gateway writes by itself, expected another name'
      : twin && `is "${twin}" to upstreams that take "_" for "-", expected one of both`;
    seen.set(plain, name);
    if (wrong !== undefined) {
      context.addIssue({ code: 'custom', path: [name], message: `"${name}" ${wrong}` });
    }
  }
}

const listenShape = {
  address: addressSchema.default('127.0.0.1'),
  port: portSchema.default(8443),
  /** What clients may speak: `auto` is HTTP/2 for those that offer it, else HTTP/1.1; `tcp` is any bytes. */
  protocol: z.enum(['h1', 'h2', 'auto', 'tcp']).default('auto'),
  clientAuth: z.enum(['require', 'request']).default('require'),
  minVersion: z.enum(['TLSv1.2', 'TLSv1.3']).default('TLSv1.2'),
  /** Connections come from proxies of these networks alone, each with a PROXY header of version 2. */
  proxyProtocol: z.strictObject({ from: z.array(networkSchema).min(1) }).optional(),
  /** What upstreams are told of callers beside `x-forwarded-client-cert` and `client-cert`, by the name of the header. */
  callerHeaders: z
    .record(headerNames.response, z.enum(['spiffeId', 'subject', 'dns', 'uri', 'email']))
    .superRefine(checkCallerNames)
    .optional(),
  /** Whether who called is signed for each upstream as well, in `x-countersign-hop`. */
  signHops: z.boolean().optional(),
  /** Of HTTP: what its callers may ask. */
  rateLimits: rateLimitsSchema,
  /** Of protocol `tcp`: where its connections go. */
  upstream: tunnelUpstreamSchema.optional(),
};

/** `listen:`, for a gateway with one listener. */
export const listenSchema = z.strictObject(listenShape);
/** `listeners:`; names tell them apart in logs and metrics. */
export const listenerSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'expected a name such as web'),
  ...listenShape,
});

/** @throws ConfigError for what is right by itself, and not together */
export function checkListeners(
  document: SourceDocument,
  at: readonly (string | number)[],
  listeners: readonly ListenerConfig[],
): void {
  for (const [index, listener] of listeners.entries()) {
    const path = at[0] === 'listeners' ? [...at, index] : at;
    checkUpstream(document, path, listener);
    const twin = listeners.findIndex(({ name }) => name === listener.name);
    if (twin === index) continue;
    const message = `${path.join('.')}: a listener "${listener.name}" is there already`;
    throw configIssue(document, path, 'ERR_CONFIG_VALUE', message);
  }
}

/** Whether an address lies in one of the networks. */
export function withinNetworks(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const each of networks) {
    const network = networkOf(each);
    if (network !== undefined) list.addSubnet(network.address, network.bits, network.family);
  }
  return (address) => {
    const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
    const version = isIP(plain);
    return version !== 0 && list.check(plain, version === 4 ? 'ipv4' : 'ipv6');
  };
}

/** Where a tunnel's upstream is dialled. */
export function tunnelAddress(url: string): { host: string; port: number; path?: string } {
  if (url.startsWith('unix:')) return { host: 'localhost', port: 1, path: url.slice(5) };
  const { hostname, port } = new URL(url);
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(port) };
}

function checkUpstream(
  document: SourceDocument,
  path: readonly (string | number)[],
  { protocol, upstream, rateLimits }: ListenerConfig,
): void {
  const isTunnel = protocol === 'tcp';
  const of = [...path, 'upstream'];
  if (isTunnel !== (upstream !== undefined)) {
    const message = isTunnel
      ? `${of.join('.')}: missing, a listener of protocol tcp has one upstream`
      : `${of.join('.')}: is for protocol tcp, this listener has ${protocol} and goes by routes`;
    throw configIssue(document, isTunnel ? path : of, 'ERR_CONFIG_VALUE', message);
  }
  if (isTunnel && rateLimits !== undefined) {
    const message = `${path.join('.')}.rateLimits: nobody reads the requests of protocol tcp`;
    throw configIssue(document, [...path, 'rateLimits'], 'ERR_CONFIG_VALUE', message, 'key');
  }
  if (upstream === undefined) return;
  const { url, spiffeId } = upstream;
  const fail = (key: 'url' | 'spiffeId', reason: string) => {
    const message = `${of.join('.')}.${key}: ${reason}`;
    throw configIssue(document, [...of, key], 'ERR_CONFIG_VALUE', message);
  };
  if (/^unix:\/[^/]/.test(url)) {
    if (spiffeId !== undefined) fail('spiffeId', `is for mTLS, and "${url}" is in clear text`);
    return;
  }
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !/^tcp:\/\/[^/?#@]+:\d{1,5}$/.test(url)) {
    return void fail('url', `expected tcp://host:port or unix:/path, found "${url}"`);
  }
  if (parsed.port === '0') throw unsupported(document, [...of, 'url'], 'port 0 of an upstream');
  if (spiffeId === undefined && !isLocal(tunnelAddress(url))) {
    fail('url', `"${url}" is not of this machine: expected a spiffeId, to speak mTLS to`);
  }
  const ids = typeof spiffeId === 'string' ? [spiffeId] : (spiffeId ?? []);
  for (const id of ids) {
    if (spiffeIdOf(id)?.toString() === id) continue;
    fail('spiffeId', `expected a SPIFFE ID such as spiffe://example.com/orders, found "${id}"`);
  }
}

export function networkOf(text: string) {
  const [, address = '', digits] = /^([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = isIP(address);
  if (version === 0) return undefined;
  const longest = version === 4 ? 32 : 128;
  const bits = digits === undefined ? longest : Number(digits);
  if (bits > longest) return undefined;
  return { address, bits, family: version === 4 ? ('ipv4' as const) : ('ipv6' as const) };
}
