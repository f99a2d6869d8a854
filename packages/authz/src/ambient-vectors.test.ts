import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseYamlDocuments } from '@countersign/config';
import { judge } from './judge.ts';
import { parseAuthorizationPolicies } from './policy/authorization-policy.ts';
import { defaultMesh } from './policy/mesh-settings.ts';
import { isInBlock, parseIp } from './rules/ip-block.ts';
import type { RuleFacts } from './rules/rule-facts.ts';
import { compileRules } from './rules/rule-set.ts';

const directory = new URL('../../../../shared/vectors/istio-ambient/', import.meta.url);
const skip = existsSync(directory) ? false : '../shared/vectors/istio-ambient is absent';

/** What Istio makes of a policy for a proxy that reads no bytes. */
interface Compiled {
  readonly action?: 'DENY';
  readonly groups: readonly { readonly rules: readonly { readonly matches: readonly Match[] }[] }[];
}

interface Text {
  readonly exact?: string;
  readonly prefix?: string;
  readonly suffix?: string;
  readonly presence?: object;
}

type Match = Readonly<Record<string, readonly unknown[]>>;

interface Connection {
  readonly principal: string;
  readonly namespace: string;
  readonly account: string;
  readonly sourceIp: string;
  readonly destinationIp: string;
  readonly port: number;
}

/** Each field of a match by its name; `not…` is the opposite. */
const fields: Readonly<Record<string, (wanted: never, asked: Connection) => boolean>> = {
  principals: (wanted: Text, { principal }) => textHolds(wanted, principal),
  namespaces: (wanted: Text, { namespace }) => textHolds(wanted, namespace),
  serviceAccounts: (wanted: { namespace: string; serviceAccount: string }, asked) =>
    wanted.namespace === asked.namespace && wanted.serviceAccount === asked.account,
  sourceIps: (wanted: Range, { sourceIp }) => rangeHolds(wanted, sourceIp),
  destinationIps: (wanted: Range, { destinationIp }) => rangeHolds(wanted, destinationIp),
  destinationPorts: (wanted: number, { port }) => wanted === port,
};

interface Range {
  readonly address: string;
  readonly length: number;
}

function textHolds(wanted: Text, text: string): boolean {
  if (wanted.exact !== undefined) return text === wanted.exact;
  if (wanted.prefix !== undefined) return text.startsWith(wanted.prefix);
  return wanted.suffix === undefined ? text !== '' : text.endsWith(wanted.suffix);
}

function rangeHolds({ address, length }: Range, text: string): boolean {
  const block = { address: Buffer.from(address, 'base64'), text: '', prefixBits: length };
  const asked = parseIp(text);
  return asked !== undefined && isInBlock(asked, block);
}

function matchHolds(match: Match, asked: Connection): boolean {
  return Object.entries(match).every(([name, wanted]) => {
    const isNot = name.startsWith('not');
    const plain = isNot ? name.charAt(3).toLowerCase() + name.slice(4) : name;
    const holds = fields[plain];
    assert.ok(holds !== undefined, name);
    return wanted.some((each) => holds(each as never, asked)) !== isNot;
  });
}

function ambientAllows({ action, groups }: Compiled, asked: Connection): boolean {
  const isMatched = groups.some(({ rules }) =>
    rules.every(({ matches }) => matches.some((match) => matchHolds(match, asked))),
  );
  return action === 'DENY' ? !isMatched : isMatched;
}

function factsOf({ principal, sourceIp, destinationIp, port }: Connection): RuleFacts {
  return {
    names: { uris: [`spiffe://${principal}`], dnsNames: [], subject: '' },
    // Ambient leaves the name of the handshake to HTTP; so nobody here has one.
    serverName: '',
    sourceIp: parseIp(sourceIp),
    remoteIp: parseIp(sourceIp),
    destinationIp: parseIp(destinationIp),
    destinationPort: port,
    request: undefined,
    metadata: () => undefined,
  };
}

/** All ways to combine what the policies name, and things beside. */
function* connections(): Generator<Connection> {
  const names: readonly (readonly [principal: string, namespace: string, account: string])[] = [
    ...['ns', 'cfg', 'only-l4-ns', 'when-l4-ns', 'from-mix-ns', 'other'].flatMap((namespace) =>
      ['sa', 'sa-only', 'sa-not', 'x'].map(
        (account) => [`td/ns/${namespace}/sa/${account}`, namespace, account] as const,
      ),
    ),
    ...['only-l4-principals', 'from-mix-principal', 'principal'].map(
      (principal) => [principal, '', ''] as const,
    ),
  ];
  const addresses = ['1.2.3.4', '5.6.7.8', '10.10.10.10', '192.168.10.9', '90.168.10.1', '8.8.8.8'];
  for (const [principal, namespace, account] of names) {
    for (const sourceIp of addresses) {
      for (const destinationIp of ['10.10.10.10', '8.8.8.8']) {
        for (const port of [80, 90, 91, 900, 9001, 443]) {
          yield { principal, namespace, account, sourceIp, destinationIp, port };
        }
      }
    }
  }
}

test('foreign vectors: policies mean to raw connections what Istio compiles for a proxy that reads none', {
  skip,
}, (t) => {
  const inputs = readdirSync(directory).filter((file) => /^(?:allow|deny).*-in\.yaml$/.test(file));
  const counts = { allowed: 0, denied: 0 };
  for (const input of inputs) {
    const read = (file: string) => readFileSync(new URL(file, directory), 'utf8');
    const policies = parseAuthorizationPolicies(read(input), input);
    const output = input.replace('-in.yaml', '.yaml');
    const [document] = parseYamlDocuments(read(output), output);
    const compiled = document?.value as Compiled;
    const mesh = { ...defaultMesh, trustDomain: 'td' };
    const { tcp } = compileRules(policies, { mesh });
    for (const asked of connections()) {
      const { ok } = judge(tcp, factsOf(asked), false);
      assert.equal(ok, ambientAllows(compiled, asked), `${input}: ${JSON.stringify(asked)}`);
      counts[ok ? 'allowed' : 'denied'] += 1;
    }
  }
  t.diagnostic(`${inputs.length} policies: ${JSON.stringify(counts)}`);
  assert.ok(inputs.length >= 3 && counts.allowed > 100 && counts.denied > 100);
});
