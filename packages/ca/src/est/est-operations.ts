/** RFC 7030 §3.2.2 */
export const operations = {
  cacerts: { method: 'GET' },
  csrattrs: { method: 'GET' },
  simpleenroll: { method: 'POST' },
  simplereenroll: { method: 'POST' },
  serverkeygen: { method: 'POST' },
  fullcmc: { method: 'POST' },
} as const satisfies Record<string, { readonly method: 'GET' | 'POST' }>;

export type OperationName = keyof typeof operations;

export function isOperation(name: string): name is OperationName {
  return Object.hasOwn(operations, name);
}
