/** A policy document as a file has it, its spec in flow or block style. */
export function policyText(
  name: string,
  spec: string,
  options: { readonly kind?: string; readonly namespace?: string; readonly more?: string } = {},
): string {
  const { kind = 'AuthorizationPolicy', namespace = 'prod', more = '' } = options;
  return [
    'apiVersion: security.istio.io/v1',
    `kind: ${kind}`,
    `metadata: { name: ${name}, namespace: ${namespace}${more} }`,
    `spec: ${spec}\n`,
  ].join('\n');
}
