import { isIP } from 'node:net';
import { denial } from '@countersign/base';
import { type ExpectPeer, expectName, expectSpiffeId } from '@countersign/mtls';
import { formatIpAddress, type GeneralName } from '@countersign/x509';
import type { NameMatch, PeerExpectation } from './model/cluster-model.ts';
import { textTest } from './model/text-match.ts';
import { expectPatterns } from './tunnel/peer-patterns.ts';

/**
 * What a verified peer has to be beside.
 *
 * @param dialled the name or address that a server was dialled by
 * @throws SyntaxError for an expression that is none
 */
export function expectationOf(expected: PeerExpectation, dialled = ''): ExpectPeer {
  const { spiffeIds, names, patterns, dialledName } = expected;
  const all: ExpectPeer[] = [];
  if (spiffeIds !== undefined) all.push(expectSpiffeId(...spiffeIds));
  if (names !== undefined) all.push(expectNames(names));
  if (patterns !== undefined) all.push(expectPatterns(patterns));
  if (dialledName === true) {
    all.push(expectName(isIP(dialled) === 0 ? { dns: dialled } : { ip: dialled }));
  }
  return function expectAll(peer) {
    for (const expect of all) {
      const answer = expect(peer);
      if (!answer.ok) return answer;
    }
    return { ok: true };
  };
}

/** Any of them among the subject alternative names. */
function expectNames(matches: readonly NameMatch[]): ExpectPeer {
  const tests = matches.map(nameTest);
  return function expectOneName({ names }) {
    if (names.some((name) => tests.some((test) => test(name)))) return { ok: true };
    const shown = names.map((name) => textOf(name) ?? name.kind);
    const detail = `peer is named "${shown.join('", "')}", none of which is expected`;
    return denial('ERR_PEER_UNEXPECTED', detail, { shown });
  };
}

function nameTest({ type, value }: NameMatch): (name: GeneralName) => boolean {
  const test = textTest(value);
  const exactDns =
    value.kind === 'exact' && (type === undefined || type === 'dns')
      ? value.text.toLowerCase()
      : undefined;
  return (name) => {
    if (type !== undefined && name.kind !== type) return false;
    const text = textOf(name);
    if (text === undefined) return false;
    if (name.kind === 'dns' && exactDns !== undefined)
      return coversDns(text.toLowerCase(), exactDns);
    return test(text);
  };
}

// RFC 9525 §6.3: a star stands for the whole first label.
function coversDns(certified: string, name: string): boolean {
  if (!certified.startsWith('*.')) return certified === name;
  const dot = name.indexOf('.');
  return dot > 0 && name.slice(dot) === certified.slice(1);
}

function textOf(name: GeneralName): string | undefined {
  if (name.kind === 'ip') return formatIpAddress(name.bytes);
  return name.kind === 'dns' || name.kind === 'uri' || name.kind === 'email'
    ? name.value
    : undefined;
}
