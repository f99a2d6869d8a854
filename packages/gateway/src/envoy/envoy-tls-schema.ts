import { z } from 'zod';
import { expression } from '../istio/virtual-service-schema.ts';
import { dataSource, only, typed } from './envoy-document.ts';

/** One of them alone. */
export const stringMatcher = z
  .strictObject({
    exact: z.string().optional(),
    prefix: z.string().optional(),
    suffix: z.string().optional(),
    contains: z.string().optional(),
    safe_regex: z
      .strictObject({ regex: expression, google_re2: z.strictObject({}).optional() })
      .optional(),
    ignore_case: z.boolean().optional(),
  })
  .refine(
    ({ ignore_case: _, ...kinds }) => Object.keys(kinds).length === 1,
    'expected one of exact, prefix, suffix, contains and safe_regex',
  );
export type StringMatcher = z.output<typeof stringMatcher>;

const validationContext = z.strictObject({
  trusted_ca: dataSource.optional(),
  crl: dataSource.optional(),
  only_verify_leaf_cert_crl: z.boolean().optional(),
  match_typed_subject_alt_names: z
    .array(
      z.strictObject({
        san_type: z.enum(['EMAIL', 'DNS', 'URI', 'IP_ADDRESS']),
        matcher: stringMatcher,
      }),
    )
    .optional(),
  allow_expired_certificate: only(false),
  trust_chain_verification: only('VERIFY_TRUST_CHAIN'),
});

/** Envoy's names, and those of groups that it does not have. */
const groups = ['X25519MLKEM768', 'X25519', 'P-256', 'P-384', 'P-521'] as const;

const versions = z.enum(['TLS_AUTO', 'TLSv1_2', 'TLSv1_3']);

export const commonTlsContext = z.strictObject({
  tls_params: z
    .strictObject({
      tls_minimum_protocol_version: versions.optional(),
      cipher_suites: z.array(z.string().min(1)).min(1).optional(),
      ecdh_curves: z.array(z.enum(groups)).min(1).optional(),
      tls_maximum_protocol_version: only('TLS_AUTO', 'TLSv1_3'),
    })
    .optional(),
  tls_certificates: z
    .array(
      z.strictObject({
        certificate_chain: dataSource,
        /** DER, of the leaf. */
        ocsp_staple: z.strictObject({ filename: z.string().min(1) }).optional(),
        private_key: z.strictObject({
          filename: z
            .string({ error: 'expected a file, keys are not written into configuration' })
            .min(1),
        }),
      }),
    )
    .length(1, 'expected one certificate')
    .optional(),
  validation_context: validationContext.optional(),
  alpn_protocols: z.array(z.string()).optional(),
});
export type CommonTlsContext = z.output<typeof commonTlsContext>;

const tls = 'envoy.extensions.transport_sockets.tls.v3';

export const downstreamTls = z.strictObject({
  name: z.string().optional(),
  typed_config: typed(`${tls}.DownstreamTlsContext`, {
    common_tls_context: commonTlsContext,
    require_client_certificate: z.boolean().default(false),
    disable_stateless_session_resumption: only(false),
    ocsp_staple_policy: only('LENIENT_STAPLING'),
  }),
});
export type DownstreamTls = z.output<typeof downstreamTls>;

export const upstreamTls = z.strictObject({
  name: z.string().optional(),
  typed_config: typed(`${tls}.UpstreamTlsContext`, {
    common_tls_context: commonTlsContext,
    sni: z.string().min(1).optional(),
    // Sessions are never resumed here: a resumed one does not show the server's certificate.
    max_session_keys: only(0),
    allow_renegotiation: only(false),
  }),
});
export type UpstreamTls = z.output<typeof upstreamTls>;
