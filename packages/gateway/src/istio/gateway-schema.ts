import { isIP } from 'node:net';
import { z } from 'zod';
import { undone } from './istio-document.ts';

const path = z.string().min(1);

/** `spec` of networking.istio.io Gateway. */
export const gatewaySpec = z.strictObject({
  selector: z.record(z.string(), z.string()).optional(),
  servers: z
    .array(
      z.strictObject({
        name: z.string().optional(),
        port: z.strictObject({
          number: z.int().min(1).max(65_535),
          protocol: z.enum(['HTTP', 'HTTPS', 'HTTP2', 'GRPC', 'GRPC-WEB', 'TCP', 'TLS']),
          name: z.string().optional(),
          ...undone('targetPort'),
        }),
        bind: z
          .string()
          .refine((text) => isIP(text) !== 0, 'expected an IP address')
          .optional(),
        hosts: z.array(z.string().min(1)).min(1),
        tls: z
          .strictObject({
            httpsRedirect: z.boolean().optional(),
            mode: z
              .enum([
                'SIMPLE',
                'MUTUAL',
                'OPTIONAL_MUTUAL',
                'ISTIO_MUTUAL',
                'PASSTHROUGH',
                'AUTO_PASSTHROUGH',
              ])
              .optional(),
            serverCertificate: path.optional(),
            privateKey: path.optional(),
            caCertificates: path.optional(),
            caCrl: path.optional(),
            subjectAltNames: z.array(z.string().min(1)).optional(),
            minProtocolVersion: z.enum(['TLS_AUTO', 'TLSV1_2', 'TLSV1_3']).optional(),
            maxProtocolVersion: z.enum(['TLS_AUTO', 'TLSV1_3']).optional(),
            ...undone(
              'credentialName',
              'credentialNames',
              'tlsCertificates',
              'caCertCredentialName',
            ),
            ...undone('verifyCertificateSpki', 'verifyCertificateHash', 'cipherSuites'),
          })
          .optional(),
        ...undone('defaultEndpoint'),
      }),
    )
    .min(1),
});

export type GatewaySpec = z.output<typeof gatewaySpec>;
export type GatewayServer = GatewaySpec['servers'][number];
