import { z } from 'zod';

/**
 * Istio's AuthorizationPolicy (security.istio.io/v1), whole: what is not done yet is known here by name, so that it is
 * refused as such and a misspelling as a misspelling.
 */
export const authorizationPolicySchema = z.strictObject({
  apiVersion: z.enum(['security.istio.io/v1', 'security.istio.io/v1beta1']),
  kind: z.literal('AuthorizationPolicy'),
  metadata: z.strictObject({
    name: z.string().min(1).max(253),
    namespace: z.string().min(1).max(63).optional(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
    ...serverFields(),
  }),
  spec: z
    .strictObject({
      action: z.enum(['ALLOW', 'DENY', 'AUDIT', 'CUSTOM']).optional(),
      rules: z
        .array(
          z.strictObject({
            from: z
              .array(z.strictObject({ source: sourceSchema() }))
              .min(1, 'an empty list, expected at least one source')
              .optional(),
            to: z
              .array(z.strictObject({ operation: operationSchema() }))
              .min(1, 'an empty list, expected at least one operation')
              .optional(),
            when: z.unknown().optional(),
          }),
        )
        .optional(),
      selector: z.unknown().optional(),
      targetRef: z.unknown().optional(),
      targetRefs: z.unknown().optional(),
      provider: z.unknown().optional(),
    })
    .nullish(),
  /** Written by the cluster; says nothing about what is allowed. */
  status: z.unknown().optional(),
});

export type PolicyDocument = z.infer<typeof authorizationPolicySchema>;

export const supportedSourceKeys = ['principals'] as const;
export const supportedOperationKeys = ['methods', 'paths'] as const;
export const unsupportedRuleKeys = ['when'] as const;
export const unsupportedSpecKeys = ['selector', 'targetRef', 'targetRefs', 'provider'] as const;

/** Only notes that a cluster adds to what it stores, so that `kubectl get -o yaml` can be pasted. */
function serverFields() {
  const note = z.unknown().optional();
  return {
    generateName: note,
    uid: note,
    resourceVersion: note,
    generation: note,
    creationTimestamp: note,
    managedFields: note,
    ownerReferences: note,
    finalizers: note,
    selfLink: note,
  };
}

function sourceSchema() {
  const later = z.unknown().optional();
  return z.strictObject({
    principals: textList('principal'),
    notPrincipals: later,
    requestPrincipals: later,
    notRequestPrincipals: later,
    namespaces: later,
    notNamespaces: later,
    serviceAccounts: later,
    notServiceAccounts: later,
    ipBlocks: later,
    notIpBlocks: later,
    remoteIpBlocks: later,
    notRemoteIpBlocks: later,
    trustDomains: later,
    notTrustDomains: later,
  });
}

function operationSchema() {
  const later = z.unknown().optional();
  return z.strictObject({
    methods: textList('method'),
    notMethods: later,
    paths: textList('path'),
    notPaths: later,
    hosts: later,
    notHosts: later,
    ports: later,
    notPorts: later,
  });
}

function textList(what: string) {
  return z.array(z.string()).min(1, `an empty list, expected at least one ${what}`).optional();
}
