import { isInBlock, parseIpBlock } from '../rules/ip-block.ts';
import type { RuleFacts } from '../rules/rule-facts.ts';
import type { RbacFilter } from './envoy-filters.ts';
import type {
  CidrRange,
  HeaderMatcher,
  MetadataMatcher,
  Permission,
  Principal,
  Rbac,
  StringMatcher,
  ValueMatcher,
} from './rbac.ts';

/**
 * Envoy's RBAC, read node by node as its documentation says and without anything of the compiled rules: what they are
 * held against where no Envoy runs.
 */
export function filtersAllow(filters: readonly RbacFilter[], facts: RuleFacts): boolean {
  return filters.every(({ rules }) => rules === undefined || rbacAllows(rules, facts));
}

function rbacAllows(rbac: Rbac, facts: RuleFacts): boolean {
  const matches = Object.values(rbac.policies ?? {}).some(
    ({ permissions, principals }) =>
      permissions.some((each) => permissionHolds(each, facts)) &&
      principals.some((each) => principalHolds(each, facts)),
  );
  if (rbac.action === 'LOG') return true;
  return rbac.action === 'DENY' ? !matches : matches;
}

function permissionHolds(node: Permission, facts: RuleFacts): boolean {
  if ('any' in node) return true;
  if ('andRules' in node) return node.andRules.rules.every((each) => permissionHolds(each, facts));
  if ('orRules' in node) return node.orRules.rules.some((each) => permissionHolds(each, facts));
  if ('notRule' in node) return !permissionHolds(node.notRule, facts);
  if ('header' in node) return headerHolds(node.header, facts);
  if ('urlPath' in node) {
    return facts.request !== undefined && stringHolds(node.urlPath.path, facts.request.path);
  }
  if ('uriTemplate' in node) {
    const { pathTemplate } = node.uriTemplate.typedConfig;
    return facts.request !== undefined && templateRegex(pathTemplate).test(facts.request.path);
  }
  if ('destinationIp' in node) return ipHolds(node.destinationIp, facts.destinationIp);
  if ('destinationPort' in node) return node.destinationPort === facts.destinationPort;
  if ('requestedServerName' in node) {
    return stringHolds(node.requestedServerName, facts.serverName);
  }
  return metadataHolds(node.metadata, facts);
}

function principalHolds(node: Principal, facts: RuleFacts): boolean {
  if ('any' in node) return true;
  if ('andIds' in node) return node.andIds.ids.every((each) => principalHolds(each, facts));
  if ('orIds' in node) return node.orIds.ids.some((each) => principalHolds(each, facts));
  if ('notId' in node) return !principalHolds(node.notId, facts);
  if ('authenticated' in node) {
    const { names } = facts;
    if (names === undefined) return false;
    const all = [...names.uris, ...names.dnsNames, names.subject];
    return all.some((name) => stringHolds(node.authenticated.principalName, name));
  }
  if ('directRemoteIp' in node) return ipHolds(node.directRemoteIp, facts.sourceIp);
  if ('remoteIp' in node) return ipHolds(node.remoteIp, facts.remoteIp);
  if ('header' in node) return headerHolds(node.header, facts);
  return metadataHolds(node.metadata, facts);
}

function headerHolds(matcher: HeaderMatcher, { request }: RuleFacts): boolean {
  const name = matcher.name.toLowerCase();
  const pseudo: Record<string, string | undefined> = {
    ':authority': request?.host,
    ':method': request?.method,
  };
  const values = name in pseudo ? [pseudo[name]] : (request?.headerValues(name) ?? []);
  const there = values.filter((value) => value !== undefined);
  if (matcher.stringMatch === undefined) return there.length > 0;
  return there.some((value) => stringHolds(matcher.stringMatch ?? {}, value));
}

function stringHolds(matcher: StringMatcher, value: string): boolean {
  const fold = (text: string) => (matcher.ignoreCase === true ? text.toLowerCase() : text);
  const text = fold(value);
  if (matcher.exact !== undefined) return text === fold(matcher.exact);
  if (matcher.prefix !== undefined) return text.startsWith(fold(matcher.prefix));
  if (matcher.suffix !== undefined) return text.endsWith(fold(matcher.suffix));
  return new RegExp(`^(?:${matcher.safeRegex?.regex})$`).test(value);
}

function ipHolds({ addressPrefix, prefixLen }: CidrRange, address: Uint8Array | undefined) {
  const block = parseIpBlock(`${addressPrefix}/${prefixLen}`);
  return address !== undefined && typeof block !== 'string' && isInBlock(address, block);
}

function metadataHolds({ filter, path, value }: MetadataMatcher, facts: RuleFacts): boolean {
  let found: unknown =
    filter === 'envoy.filters.http.jwt_authn'
      ? { payload: facts.request?.claims }
      : facts.metadata(filter);
  for (const { key } of path) {
    if (typeof found !== 'object' || found === null || Array.isArray(found)) return false;
    found = (found as Record<string, unknown>)[key];
  }
  return valueHolds(value, found);
}

function valueHolds(matcher: ValueMatcher, value: unknown): boolean {
  if ('orMatch' in matcher) {
    return matcher.orMatch.valueMatchers.some((each) => valueHolds(each, value));
  }
  if ('listMatch' in matcher) {
    return Array.isArray(value) && value.some((each) => valueHolds(matcher.listMatch.oneOf, each));
  }
  return typeof value === 'string' && stringHolds(matcher.stringMatch, value);
}

function templateRegex(template: string): RegExp {
  const literal = "a-zA-Z0-9\\-._~%!$&'()+,;:@=*";
  const source = template
    .replaceAll(/[.$()+]/g, '\\$&')
    .replaceAll('**', '\u0000')
    .replaceAll('*', `[${literal}]+`)
    .replaceAll('\u0000', `[${literal}/]*`);
  return new RegExp(`^${source}$`);
}
