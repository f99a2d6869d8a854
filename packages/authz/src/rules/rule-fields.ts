import type { Permission, Principal } from '../envoy/rbac.ts';
import {
  destinationIpField,
  portsField,
  remoteIpField,
  serverNameField,
  sourceIpField,
} from './address-fields.ts';
import { filterField } from './filter-field.ts';
import {
  namespacesField,
  principalsField,
  serviceAccountsField,
  trustDomainsField,
} from './identity-fields.ts';
import { headerField, hostsField, methodsField, pathsField } from './request-fields.ts';
import type { RuleField } from './rule-field.ts';
import { claimField, requestPrincipalsField } from './token-fields.ts';

/** A key of `source` or `operation`, the key of its opposite, and what both are about. */
export interface FieldRow<Node extends Principal | Permission, Key extends string> {
  readonly key: Key;
  readonly notKey: `not${Capitalize<Key>}`;
  readonly field: RuleField<Node>;
}

/** In the order in which Istio tells Envoy of them. */
export const sourceFields = [
  sourceRow('principals', 'notPrincipals', principalsField),
  sourceRow('requestPrincipals', 'notRequestPrincipals', requestPrincipalsField),
  sourceRow('serviceAccounts', 'notServiceAccounts', serviceAccountsField),
  sourceRow('trustDomains', 'notTrustDomains', trustDomainsField),
  sourceRow('namespaces', 'notNamespaces', namespacesField),
  sourceRow('remoteIpBlocks', 'notRemoteIpBlocks', remoteIpField),
  sourceRow('ipBlocks', 'notIpBlocks', sourceIpField),
] as const;

export const operationFields = [
  operationRow('hosts', 'notHosts', hostsField),
  operationRow('methods', 'notMethods', methodsField),
  operationRow('paths', 'notPaths', pathsField),
  operationRow('ports', 'notPorts', portsField),
] as const;

/** What a condition is about, and on which side of a rule it stands. */
export type ConditionField =
  | { readonly side: 'source'; readonly field: RuleField<Principal> }
  | { readonly side: 'operation'; readonly field: RuleField<Permission> };

/**
 * The field of a `when` by its key; a text is what is wrong with the key, as the end of a sentence. Istio takes such a
 * key where it is wrong only behind a known beginning, and drops it then.
 */
export function conditionField(key: string): ConditionField | string {
  const row = plainKeys[key];
  if (row !== undefined) return row;
  const found = bracketKeys.find(({ prefix }) => key.startsWith(prefix));
  if (found === undefined) return 'is no attribute that a condition can name';
  const inside = found.read(key);
  return inside ?? `is not written as ${found.prefix}[name]`;
}

/** Every key that a condition can have, for messages. */
export function conditionKeys(): readonly string[] {
  return [...Object.keys(plainKeys), ...bracketKeys.map(({ shown }) => shown)];
}

const plainKeys: Readonly<Record<string, ConditionField>> = {
  'source.ip': source('source.ip', sourceIpField),
  'remote.ip': source('remote.ip', remoteIpField),
  'source.namespace': source('source.namespace', namespacesField),
  'source.trustDomain': source('source.trustDomain', trustDomainsField),
  'source.serviceAccount': source('source.serviceAccount', serviceAccountsField),
  'source.principal': source('source.principal', principalsField),
  'request.auth.principal': source('request.auth.principal', requestPrincipalsField),
  'request.auth.audiences': source('request.auth.audiences', (name) => claimField(name, ['aud'])),
  'request.auth.presenter': source('request.auth.presenter', (name) => claimField(name, ['azp'])),
  'destination.ip': operation('destination.ip', destinationIpField),
  'destination.port': operation('destination.port', portsField),
  'connection.sni': operation('connection.sni', serverNameField),
};

interface BracketKey {
  readonly prefix: string;
  readonly shown: string;
  /** Undefined where the brackets are wrong. */
  read(key: string): ConditionField | undefined;
}

const bracketKeys: readonly BracketKey[] = [
  {
    prefix: 'request.headers',
    shown: 'request.headers[name]',
    read(key) {
      const header = inBrackets(key.slice('request.headers'.length));
      if (header === undefined) return undefined;
      return source(key, (name) => headerField(name, header));
    },
  },
  {
    prefix: 'request.auth.claims',
    shown: 'request.auth.claims[name]',
    read(key) {
      const rest = key.slice('request.auth.claims'.length);
      const whole = inBrackets(rest);
      if (whole === undefined) return undefined;
      const isNested = /^(?:\[[^[\]]*\])+$/.test(rest);
      const path = isNested ? whole.split('][') : [whole];
      return source(key, (name) => claimField(name, path));
    },
  },
  {
    prefix: 'experimental.envoy.filters.',
    shown: 'experimental.envoy.filters.name[key]',
    read(key) {
      const rest = key.slice('experimental.'.length).replace(/\]$/, '');
      const open = rest.indexOf('[');
      if (open === -1) return undefined;
      const [filter, inner] = [rest.slice(0, open), rest.slice(open + 1)];
      return operation(key, (name) => filterField(name, filter, inner));
    },
  },
];

function inBrackets(text: string): string | undefined {
  return text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : undefined;
}

function sourceRow<Key extends string>(
  key: Key,
  notKey: `not${Capitalize<Key>}`,
  make: (name: string) => RuleField<Principal>,
): FieldRow<Principal, Key> {
  return { key, notKey, field: make(`source.${key}`) };
}

function operationRow<Key extends string>(
  key: Key,
  notKey: `not${Capitalize<Key>}`,
  make: (name: string) => RuleField<Permission>,
): FieldRow<Permission, Key> {
  return { key, notKey, field: make(`operation.${key}`) };
}

function source(key: string, make: (name: string) => RuleField<Principal>): ConditionField {
  return { side: 'source', field: make(`when ${key}`) };
}

function operation(key: string, make: (name: string) => RuleField<Permission>): ConditionField {
  return { side: 'operation', field: make(`when ${key}`) };
}
