import { z } from 'zod';
import type { RbacModel, RbacRule } from '../model/rbac-model.ts';
import { headerOf, textOf } from './compile-envoy-routes.ts';
import { typed } from './envoy-document.ts';
import { headerMatcher } from './envoy-route-schema.ts';
import { stringMatcher } from './envoy-tls-schema.ts';

const cidr = z
  .strictObject({
    address_prefix: z.union([z.ipv4(), z.ipv6()]),
    prefix_len: z.int().min(0).max(128).default(0),
  })
  .transform(({ address_prefix: address, prefix_len: bits }) => `${address}/${bits}`);
const pathMatcher = z.strictObject({ path: stringMatcher });
const single = <T extends object>(each: T) => Object.keys(each).length === 1;

/** As written, for both: what only one of them has is told apart below. */
export interface Written {
  readonly any?: true | undefined;
  readonly and_rules?: { readonly rules: readonly Written[] } | undefined;
  readonly or_rules?: { readonly rules: readonly Written[] } | undefined;
  readonly not_rule?: Written | undefined;
  readonly and_ids?: { readonly ids: readonly Written[] } | undefined;
  readonly or_ids?: { readonly ids: readonly Written[] } | undefined;
  readonly not_id?: Written | undefined;
  readonly header?: z.output<typeof headerMatcher> | undefined;
  readonly url_path?: z.output<typeof pathMatcher> | undefined;
  readonly requested_server_name?: z.output<typeof stringMatcher> | undefined;
  readonly destination_ip?: string | undefined;
  readonly destination_port?: number | undefined;
  readonly destination_port_range?: { readonly start: number; readonly end: number } | undefined;
  readonly authenticated?:
    | { readonly principal_name?: z.output<typeof stringMatcher> | undefined }
    | undefined;
  readonly source_ip?: string | undefined;
  readonly direct_remote_ip?: string | undefined;
  readonly remote_ip?: string | undefined;
}

const port = z.int().min(0).max(65_536);
const permission: z.ZodType<Written> = z.lazy(() =>
  z
    .strictObject({
      any: z.literal(true).optional(),
      and_rules: z.strictObject({ rules: z.array(permission).min(1) }).optional(),
      or_rules: z.strictObject({ rules: z.array(permission).min(1) }).optional(),
      not_rule: permission.optional(),
      header: headerMatcher.optional(),
      url_path: pathMatcher.optional(),
      requested_server_name: stringMatcher.optional(),
      destination_ip: cidr.optional(),
      destination_port: port.optional(),
      destination_port_range: z.strictObject({ start: port, end: port }).optional(),
    })
    .refine(single, 'expected one rule'),
);
const principal: z.ZodType<Written> = z.lazy(() =>
  z
    .strictObject({
      any: z.literal(true).optional(),
      and_ids: z.strictObject({ ids: z.array(principal).min(1) }).optional(),
      or_ids: z.strictObject({ ids: z.array(principal).min(1) }).optional(),
      not_id: principal.optional(),
      header: headerMatcher.optional(),
      url_path: pathMatcher.optional(),
      authenticated: z.strictObject({ principal_name: stringMatcher.optional() }).optional(),
      source_ip: cidr.optional(),
      direct_remote_ip: cidr.optional(),
      remote_ip: cidr.optional(),
    })
    .refine(single, 'expected one rule'),
);

export const rbacFilter = typed('envoy.extensions.filters.http.rbac.v3.RBAC', {
  rules: z
    .strictObject({
      action: z.enum(['ALLOW', 'DENY']).default('ALLOW'),
      policies: z
        .record(
          z.string(),
          z.strictObject({
            permissions: z.array(permission).min(1),
            principals: z.array(principal).min(1),
          }),
        )
        .default({}),
    })
    .optional(),
});
export type RbacFilter = z.output<typeof rbacFilter>;

/** A filter without rules lets everything through. */
export function compileRbac({ rules }: RbacFilter): RbacModel[] {
  if (rules === undefined) return [];
  const { action, policies } = rules;
  // In the order of their names, as Envoy asks them.
  const names = Object.keys(policies).toSorted();
  return [
    {
      action,
      policies: names.map((name) => ({
        name,
        permissions: (policies[name]?.permissions ?? []).map(ruleOf),
        principals: (policies[name]?.principals ?? []).map(ruleOf),
      })),
    },
  ];
}

function ruleOf(written: Written): RbacRule {
  const inner = written.and_rules?.rules ?? written.and_ids?.ids;
  if (inner !== undefined) return { kind: 'and', rules: inner.map(ruleOf) };
  const either = written.or_rules?.rules ?? written.or_ids?.ids;
  if (either !== undefined) return { kind: 'or', rules: either.map(ruleOf) };
  const not = written.not_rule ?? written.not_id;
  if (not !== undefined) return { kind: 'not', rule: ruleOf(not) };
  return plainOf(written);
}

function plainOf(written: Written): RbacRule {
  const { header, url_path: path, requested_server_name: serverName, authenticated } = written;
  if (header !== undefined) return { kind: 'header', match: headerOf(header) };
  if (path !== undefined) return { kind: 'path', value: textOf(path.path) };
  if (serverName !== undefined) return { kind: 'serverName', value: textOf(serverName) };
  if (authenticated !== undefined) {
    const { principal_name: name } = authenticated;
    return { kind: 'authenticated', ...(name !== undefined && { name: textOf(name) }) };
  }
  const { destination_port: only, destination_port_range: range } = written;
  if (only !== undefined) return { kind: 'port', from: only, to: only };
  // Its end is not within.
  if (range !== undefined) return { kind: 'port', from: range.start, to: range.end - 1 };
  const source = written.source_ip ?? written.direct_remote_ip;
  if (source !== undefined) return { kind: 'network', of: 'source', network: source };
  if (written.remote_ip !== undefined) {
    return { kind: 'network', of: 'remote', network: written.remote_ip };
  }
  if (written.destination_ip !== undefined) {
    return { kind: 'network', of: 'destination', network: written.destination_ip };
  }
  return { kind: 'any' };
}
