import { isIP } from 'node:net';
import { parseDuration } from '@countersign/base';
import { durationSchema } from '@countersign/config';
import { z } from 'zod';
import { gatewaySchema } from '../gateway-config.ts';
import { addressSchema, networkOf, portSchema } from '../listener-config.ts';

const duration = (fallback: string) => durationSchema().default(parseDuration(fallback));
const wellKnown = z.int().min(1).max(65_535);

/** Istio's names of what a port speaks. */
const protocolSchema = z.enum(['http', 'http2', 'grpc', 'tcp']);
export type PortProtocol = z.output<typeof protocolSchema>;

const modeSchema = z.enum(['STRICT', 'PERMISSIVE', 'DISABLE']);

const timeShape = {
  connectTimeout: duration('5s'),
  /** Until the head of the response; 0 waits for ever. */
  timeout: duration('5m'),
  /** Without a byte, in a response or on a connection of protocol tcp; 0 waits for ever. */
  idleTimeout: duration('1h'),
};

const inboundSchema = z.strictObject({
  /** The application's own; policies know it by this. */
  port: wellKnown,
  protocol: protocolSchema.default('http'),
  /** Where peers connect; 0 takes any free port. */
  listen: z.strictObject({ address: addressSchema.default('0.0.0.0'), port: portSchema }),
  /** Where the application listens. */
  app: addressSchema.default('127.0.0.1'),
  /** Where no PeerAuthentication says anything of the port; the file's unless given. */
  mtls: modeSchema.optional(),
  /** In PERMISSIVE: who says nothing for so long waits for a server of protocol tcp to speak first; 0: none does. */
  serverFirst: duration('500ms'),
  /** The redirect rules catch what comes for the application's port from other machines. */
  redirect: z.boolean().default(false),
  ...timeShape,
});
export type InboundConfig = z.output<typeof inboundSchema>;

/** An address and a port; IPv6 in brackets. */
const addressAndPort = z
  .string()
  .regex(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,253}):\d{1,5}$/, 'expected HOST:PORT');

const networkText = z
  .string()
  .refine(
    (text) => isIP(text) !== 0 || networkOf(text) !== undefined,
    'expected an address, or a network such as 10.96.0.0/24',
  );

const destinationSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, 'expected a name such as orders'),
  protocol: protocolSchema.default('http'),
  /** Where its sidecar, gateway or server listens; of several, each takes its turn. */
  upstream: z.union([addressAndPort, z.array(addressAndPort).min(1).max(256)]),
  /** Who must answer there: one, or any of several. */
  spiffeId: z.union([z.string(), z.array(z.string()).min(1)]),
  /** What the application calls it, `HOST:PORT`: at the proxy, and where connections are redirected. */
  hosts: z.array(addressAndPort).max(64).default([]),
  /** Addresses that only the application knows it by, such as 10.96.0.7 or 10.96.0.0/24, with the ports of `hosts`. */
  addresses: z.array(networkText).max(64).default([]),
  /** A port of this machine alone that leads there. */
  listen: z
    .strictObject({ address: addressSchema.default('127.0.0.1'), port: portSchema })
    .optional(),
  ...timeShape,
});
export type DestinationConfig = z.output<typeof destinationSchema>;

const outboundSchema = z.strictObject({
  /** Istio's outboundTrafficPolicy: what is no destination is refused, or passed on in the clear. */
  policy: z.enum(['REGISTRY_ONLY', 'ALLOW_ANY']).default('REGISTRY_ONLY'),
  /** An HTTP proxy for this machine alone: absolute-form requests, and CONNECT. */
  proxy: z
    .strictObject({ address: addressSchema.default('127.0.0.1'), port: portSchema })
    .optional(),
  /** Where `sidecar rules` sends what the application connects to; Linux alone. */
  redirect: z
    .strictObject({
      port: portSchema.default(15_001),
      /** On a machine without IPv6: false. What it is false on leaves over IPv6 without the sidecar. */
      ipv6: z.boolean().default(true),
    })
    .optional(),
  destinations: z.array(destinationSchema).max(1000).default([]),
});

/** `sidecar.yaml`. What it shares with gateway.yaml is read by the same rules. */
export const sidecarSchema = z.strictObject({
  /** Which workload this is, for policies that select. */
  sidecar: z.strictObject({
    namespace: z.string().min(1),
    labels: z.record(z.string(), z.string()).default({}),
  }),
  /** The authority whose revocation feed is followed. */
  ca: gatewaySchema.shape.ca,
  /** Somebody else's authority or agent that the identity comes from, instead of `ca`. */
  issuer: gatewaySchema.shape.issuer,
  /** Files of AuthorizationPolicy and PeerAuthentication documents, relative to this one. */
  policies: gatewaySchema.shape.policies,
  authorization: z
    .strictObject({
      mesh: gatewaySchema.shape.authorization.unwrap().shape.mesh,
      paths: gatewaySchema.shape.authorization.unwrap().shape.paths,
      providers: gatewaySchema.shape.authorization.unwrap().shape.providers,
      roles: gatewaySchema.shape.authorization.unwrap().shape.roles,
    })
    .prefault({}),
  /** What inbound ports take where neither a PeerAuthentication nor the port says: unlike Istio's, it is STRICT. */
  mtls: modeSchema.default('STRICT'),
  inbound: z.array(inboundSchema).max(64).default([]),
  outbound: outboundSchema.prefault({}),
  admin: gatewaySchema.shape.admin,
  revocation: gatewaySchema.shape.revocation,
  issuanceLog: gatewaySchema.shape.issuanceLog,
  limits: gatewaySchema.shape.limits,
});
export type WrittenSidecar = z.output<typeof sidecarSchema>;

/** For editors. */
export function sidecarJsonSchema(): object {
  return z.toJSONSchema(sidecarSchema, { io: 'input', unrepresentable: 'any' });
}

/** Whether only programs of this machine can connect there. */
export function isLoopback(address: string): boolean {
  if (address === 'localhost' || address === '::1') return true;
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
  return isIP(plain) === 4 && plain.startsWith('127.');
}
