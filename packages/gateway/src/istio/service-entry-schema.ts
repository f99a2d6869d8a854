import { isIP } from 'node:net';
import { z } from 'zod';
import { exportToSchema } from './istio-document.ts';

const portNumber = z.int().min(1).max(65_535);
const label = z
  .string()
  .refine((text) => !text.includes('*'), 'wildcard is not supported in selector');

const workloadShape = {
  ports: z
    .record(
      z.string().regex(/^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$/, 'expected the name of a port'),
      portNumber,
    )
    .optional(),
  labels: z.record(z.string(), z.string()).optional(),
  network: z.string().optional(),
  locality: z.string().optional(),
  weight: z.int().min(0).optional(),
  serviceAccount: z.string().optional(),
};

const address = z
  .string()
  .min(1, 'address is required')
  .refine(
    (text) => !text.startsWith('unix:'),
    'sockets of the file system are not done by this gateway',
  );

/** `spec` of networking.istio.io WorkloadEntry. */
export const workloadEntrySpec = z.strictObject({ address, ...workloadShape });
export type WorkloadEntrySpec = z.output<typeof workloadEntrySpec>;

const resolutions = ['NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN'] as const;

/** `spec` of networking.istio.io ServiceEntry. */
export const serviceEntrySpec = z
  .strictObject({
    hosts: z
      .array(
        z
          .string()
          .min(1)
          .refine((text) => text !== '*', 'hostname cannot be wildcard'),
      )
      .min(1),
    /** Virtual addresses, for who intercepts connections to them: of no use to a gateway. */
    addresses: z.array(z.string().min(1)).optional(),
    ports: z
      .array(
        z.strictObject({
          number: portNumber,
          name: z.string().min(1),
          protocol: z.string().optional(),
          targetPort: portNumber.optional(),
        }),
      )
      .optional(),
    location: z.enum(['MESH_EXTERNAL', 'MESH_INTERNAL']).default('MESH_EXTERNAL'),
    resolution: z.enum(resolutions).default('NONE'),
    endpoints: z
      .array(z.strictObject({ address: address.optional(), ...workloadShape }))
      .optional(),
    workloadSelector: z.strictObject({ labels: z.record(label, label).optional() }).optional(),
    exportTo: exportToSchema,
    subjectAltNames: z.array(z.string().min(1)).optional(),
  })
  .superRefine((spec, context) => {
    const issue = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, message });
    const { ports = [], endpoints, workloadSelector, resolution, addresses = [] } = spec;
    if (endpoints !== undefined && workloadSelector !== undefined) {
      issue(['workloadSelector'], 'only one of WorkloadSelector or Endpoints can be set');
    }
    ports.forEach(({ number, name }, i) => {
      if (ports.findIndex((port) => port.number === number) < i) {
        issue(['ports', i, 'number'], 'port number cannot be duplicated');
      }
      if (ports.findIndex((port) => port.name === name) < i) {
        issue(['ports', i, 'name'], `a second port "${name}"`);
      }
    });
    addresses.forEach((each, i) => {
      const isNetwork = /\/(?!(?:32|128)$)/.test(each);
      if (isNetwork && resolution !== 'NONE' && resolution !== 'STATIC') {
        issue(['addresses', i], 'CIDR addresses are allowed only for NONE/STATIC resolution types');
      }
    });
    if (resolution === 'NONE' && endpoints !== undefined) {
      issue(['endpoints'], 'NONE mode cannot set endpoints');
    }
    if (resolution === 'DNS_ROUND_ROBIN' && (endpoints?.length ?? 0) > 1) {
      issue(['endpoints'], 'DNS_ROUND_ROBIN mode cannot have multiple endpoints');
    }
    endpoints?.forEach((endpoint, i) => {
      if (resolution !== 'STATIC' || isIP(endpoint.address ?? '') !== 0) return;
      issue(['endpoints', i, 'address'], 'expected an IP address, as resolution STATIC has them');
    });
  });
export type ServiceEntrySpec = z.output<typeof serviceEntrySpec>;
