import { isIP } from 'node:net';
import { denial } from '@countersign/base';
import type { ExpectPeer } from '@countersign/mtls';
import type { VerifiedPeer } from '@countersign/spiffe';
import { attributeOf, attributeTypes, formatIpAddress, formatName } from '@countersign/x509';
import type { PeerPattern } from '../model/cluster-model.ts';
import { uriPattern } from './uri-pattern.ts';

/**
 * Accepts whoever one of these is for. An empty list accepts nobody.
 *
 * @throws SyntaxError for a pattern that is none; see {@link wrongWithPattern}
 */
export function expectPatterns(patterns: readonly PeerPattern[]): ExpectPeer {
  const tests = patterns.map(({ kind, text }) => {
    const wrong = wrongWithPattern({ kind, text });
    if (wrong !== undefined) throw new SyntaxError(`"${text}" ${wrong}`);
    return kinds[kind](text);
  });
  const expected = patterns.map(({ kind, text }) => `${kind} ${text}`);
  return function expectOneOf(peer) {
    if (tests.some((test) => test(peer))) return { ok: true };
    const shown = peer.spiffeId?.toString() ?? formatName(peer.leaf.subject);
    const detail = `peer is "${shown}", expected "${expected.join('" or "')}"`;
    return denial('ERR_PEER_UNEXPECTED', detail, { shown, expected });
  };
}

/** Why nobody could be matched by it, as the end of a sentence; undefined where it is well formed. */
export function wrongWithPattern({ kind, text }: PeerPattern): string | undefined {
  if (text === '') return 'is empty';
  if (kind === 'ip' && isIP(text) === 0) return 'is no IP address';
  if (kind !== 'uri' || uriPattern(text) !== undefined) return undefined;
  return 'has a "*" that is no whole segment, or a "**" that is not the last one';
}

type PeerTest = (peer: VerifiedPeer) => boolean;

/** Names in the subject are compared as they are written, those of hosts whatever their case. */
const kinds: Readonly<Record<PeerPattern['kind'], (text: string) => PeerTest>> = {
  cn:
    (text) =>
    ({ leaf }) =>
      attributeOf(leaf.subject, 'CN') === text,
  ou: (text) => {
    const { oid } = attributeTypes.OU;
    return ({ leaf }) =>
      leaf.subject.rdns.flat().some((each) => each.oid === oid && each.value === text);
  },
  dns: (text) => {
    const wanted = text.toLowerCase();
    return ({ names }) =>
      names.some((name) => name.kind === 'dns' && name.value.toLowerCase() === wanted);
  },
  ip: (text) => {
    const wanted = plainIp(text);
    return ({ names }) =>
      names.some((name) => name.kind === 'ip' && plainIp(formatIpAddress(name.bytes)) === wanted);
  },
  uri: (text) => {
    const matches = uriPattern(text);
    return ({ names }) =>
      names.some((name) => name.kind === 'uri' && matches?.(name.value) === true);
  },
};

/** One way of writing it. */
function plainIp(text: string): string {
  return isIP(text) === 6 ? new URL(`http://[${text}]`).hostname : text;
}
