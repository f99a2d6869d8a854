import { z } from 'zod';
import { metadataSchema, securityApiSchema, targetShape } from './istio-metadata.ts';

/** Istio's AuthorizationPolicy (security.istio.io/v1), whole. */
export const authorizationPolicySchema = z.strictObject({
  apiVersion: securityApiSchema,
  kind: z.literal('AuthorizationPolicy'),
  metadata: metadataSchema,
  spec: z
    .strictObject({
      action: z.enum(['ALLOW', 'DENY', 'AUDIT', 'CUSTOM']).optional(),
      provider: z.strictObject({ name: z.string().optional() }).optional(),
      rules: z
        .array(
          z.strictObject({
            from: z
              .array(z.strictObject({ source: valuesSchema(sourceKeys()) }))
              .min(1, 'an empty list, expected at least one source')
              .optional(),
            to: z
              .array(z.strictObject({ operation: valuesSchema(operationKeys()) }))
              .min(1, 'an empty list, expected at least one operation')
              .optional(),
            when: z
              .array(
                z.strictObject({
                  key: z.string().min(1, 'an empty key'),
                  values: textList(),
                  notValues: textList(),
                }),
              )
              .optional(),
          }),
        )
        .max(512)
        .optional(),
      ...targetShape,
    })
    .nullish(),
  /** Written by the cluster; says nothing about what is allowed. */
  status: z.unknown().optional(),
});

export type PolicyDocument = z.infer<typeof authorizationPolicySchema>;

function sourceKeys() {
  return [
    'principals',
    'notPrincipals',
    'requestPrincipals',
    'notRequestPrincipals',
    'namespaces',
    'notNamespaces',
    'serviceAccounts',
    'notServiceAccounts',
    'ipBlocks',
    'notIpBlocks',
    'remoteIpBlocks',
    'notRemoteIpBlocks',
    'trustDomains',
    'notTrustDomains',
  ] as const;
}

function operationKeys() {
  return [
    'hosts',
    'notHosts',
    'ports',
    'notPorts',
    'methods',
    'notMethods',
    'paths',
    'notPaths',
  ] as const;
}

function valuesSchema<const K extends string>(keys: readonly K[]) {
  const shape = Object.fromEntries(keys.map((key) => [key, textList()]));
  return z.strictObject(shape as Record<K, ReturnType<typeof textList>>);
}

function textList() {
  return z.array(z.string()).optional();
}
