import type { CidrRange, Permission, Principal } from '../envoy/rbac.ts';
import { formatIp, type IpAddress, type IpBlock, isInBlock, parseIpBlock } from './ip-block.ts';
import type { RuleFacts } from './rule-facts.ts';
import { orIds, orRules, type RuleField } from './rule-field.ts';
import { compileTexts, readTextMatch, stringMatcher } from './text-match.ts';

/** The other end of the connection. */
export function sourceIpField(name: string): RuleField<Principal> {
  return {
    ...addressField(name, ({ sourceIp }) => sourceIp),
    isOfRequest: false,
    envoy: (values) => orIds(rangesOf(values).map((directRemoteIp) => ({ directRemoteIp }))),
  };
}

/** The client behind trusted proxies; each request may have another. */
export function remoteIpField(name: string): RuleField<Principal> {
  return {
    ...addressField(name, ({ remoteIp }) => remoteIp),
    isOfRequest: true,
    envoy: (values) => orIds(rangesOf(values).map((remoteIp) => ({ remoteIp }))),
  };
}

export function destinationIpField(name: string): RuleField<Permission> {
  return {
    ...addressField(name, ({ destinationIp }) => destinationIp),
    isOfRequest: false,
    envoy: (values) => orRules(rangesOf(values).map((destinationIp) => ({ destinationIp }))),
  };
}

export function portsField(name: string): RuleField<Permission> {
  return {
    name,
    isHttpOnly: false,
    isOfRequest: false,
    compile(values) {
      const ports = new Set(values.map(Number));
      return ({ destinationPort }) => destinationPort !== undefined && ports.has(destinationPort);
    },
    envoy: (values) => orRules(values.map((value) => ({ destinationPort: Number(value) }))),
    found: ({ destinationPort }) =>
      destinationPort === undefined ? [] : [String(destinationPort)],
  };
}

/** The name that the client asked for in its TLS handshake. */
export function serverNameField(name: string): RuleField<Permission> {
  return {
    name,
    isHttpOnly: false,
    isOfRequest: false,
    compile(values) {
      const matches = compileTexts(values.map(readTextMatch));
      return ({ serverName }) => matches(serverName);
    },
    envoy: (values) =>
      orRules(
        values.map((value) => ({ requestedServerName: stringMatcher(readTextMatch(value)) })),
      ),
    found: ({ serverName }) => (serverName === '' ? [] : [serverName]),
  };
}

function addressField(name: string, addressOf: (facts: RuleFacts) => IpAddress | undefined) {
  return {
    name,
    isHttpOnly: false,
    compile(values: readonly string[]) {
      const blocks = blocksOf(values);
      return function matchesAddress(facts: RuleFacts): boolean {
        const address = addressOf(facts);
        if (address === undefined) return false;
        for (const block of blocks) if (isInBlock(address, block)) return true;
        return false;
      };
    },
    found(facts: RuleFacts): readonly string[] {
      const address = addressOf(facts);
      return address === undefined ? [] : [formatIp(address)];
    },
  };
}

/** What is no block was refused when the policy was read. */
function blocksOf(values: readonly string[]): IpBlock[] {
  return values.flatMap((value) => {
    const block = parseIpBlock(value);
    return typeof block === 'string' ? [] : [block];
  });
}

function rangesOf(values: readonly string[]): CidrRange[] {
  return blocksOf(values).map(({ text, prefixBits }) => ({
    addressPrefix: text,
    prefixLen: prefixBits,
  }));
}
