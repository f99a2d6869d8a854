import { isAnonymous, type PeerOf } from '@countersign/mtls';
import { formatXfcc, nameForHeader, subjectForHeader, xfccHeader } from '@countersign/wire';
import { encodePem, formatName, type GeneralName } from '@countersign/x509';
import type { ClientCertDetails } from './model/listener-model.ts';
import { headerValue } from './model/request-match.ts';

/**
 * What an upstream is told in `x-forwarded-client-cert`, as Envoy does it. What the client wrote there is trusted only
 * where the listener says so, and but for `ALWAYS_FORWARD_ONLY` only from who showed a certificate.
 *
 * @param rawHeaders of the client, names and values alternating
 * @param by our own SPIFFE ID
 * @returns name and value, or nothing
 */
export function clientCertDetails(
  { mode, fields }: ClientCertDetails,
  peer: PeerOf,
  by: string | undefined,
  rawHeaders: readonly string[],
): string[] {
  if (mode === 'SANITIZE') return [];
  const told = headerValue(rawHeaders, xfccHeader.toLowerCase());
  const passed = told === undefined ? [] : [told];
  if (mode === 'ALWAYS_FORWARD_ONLY') return lineOf(passed);
  if (isAnonymous(peer)) return [];
  if (mode === 'FORWARD_ONLY') return lineOf(passed);
  const own = elementOf(fields, peer, by);
  return lineOf(mode === 'APPEND_FORWARD' ? [...passed, own] : [own]);
}

/** Whether what the client wrote reaches the upstream: then no two requests are told of alike. */
export function passesOn({ mode }: ClientCertDetails): boolean {
  return mode !== 'SANITIZE' && mode !== 'SANITIZE_SET';
}

function lineOf(elements: readonly string[]): string[] {
  return elements.length === 0 ? [] : [xfccHeader, elements.join(',')];
}

function elementOf(
  fields: ClientCertDetails['fields'],
  peer: Exclude<PeerOf, { kind: 'anonymous' }>,
  by: string | undefined,
): string {
  const pemOf = (raw: Uint8Array) => encodePem('CERTIFICATE', raw);
  const sent = peer.chain.length > 1 ? peer.chain.slice(0, -1) : peer.chain;
  return formatXfcc({
    by: by === undefined ? [] : [by],
    hash: peer.fingerprint,
    ...(fields.cert && { cert: pemOf(peer.leaf.raw) }),
    ...(fields.chain && { chain: sent.map(({ raw }) => pemOf(raw)).join('') }),
    ...(fields.subject && { subject: subjectForHeader(formatName(peer.leaf.subject)) }),
    uri: fields.uri ? valuesOf(peer.names, 'uri') : [],
    dns: fields.dns ? valuesOf(peer.names, 'dns') : [],
  });
}

function valuesOf(names: readonly GeneralName[], kind: 'uri' | 'dns'): string[] {
  return names.flatMap((name) => (name.kind === kind ? [nameForHeader(name.value)] : []));
}
