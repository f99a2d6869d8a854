import { timingSafeEqual } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { toBase64 } from '@countersign/base';
import type { CertificateRequest } from '@countersign/x509';
import { type EstRefusal, refusal } from './est-refusal.ts';

/** What is known on both ends of one TLS connection, and nowhere else. */
export interface ChannelBinding {
  readonly type: 'tls-unique' | 'tls-exporter';
  readonly bytes: Uint8Array;
}

/** Of a finished handshake; undefined where there is none. */
export function channelBindingOf(socket: TLSSocket): ChannelBinding | undefined {
  if (socket.getProtocol() === 'TLSv1.2') {
    // RFC 5929 §3.1: the first Finished of the handshake, which a resumed one has from the server
    const first = socket.isSessionReused() ? socket.getFinished() : socket.getPeerFinished();
    return first && { type: 'tls-unique', bytes: first };
  }
  // RFC 9266 §2: what is asked for without a context is the same in TLS 1.3
  const label = 'EXPORTER-Channel-Binding';
  const bytes = socket.exportKeyingMaterial(32, label, Buffer.alloc(0));
  return { type: 'tls-exporter', bytes };
}

/** Why the request is not linked to its connection; undefined where it is, or need not be. */
export function wrongWithBinding(
  { challengePassword }: CertificateRequest,
  rule: 'optional' | 'required',
  binding: () => ChannelBinding | undefined,
): EstRefusal | undefined {
  if (challengePassword === undefined) {
    if (rule === 'optional') return undefined;
    const told = 'the request has no challengePassword, which must link it to this connection';
    return refusal('binding', told);
  }
  // RFC 7030 §3.5: base64 of it
  const shown = Buffer.from(challengePassword);
  const known = binding();
  const wanted = Buffer.from(toBase64(known?.bytes ?? new Uint8Array()));
  const isLinked = wanted.byteLength === shown.byteLength && timingSafeEqual(wanted, shown);
  if (isLinked && known !== undefined) return undefined;
  const type = known?.type ?? 'a channel binding';
  return refusal('binding', `the challengePassword is not ${type} of this connection`);
}
