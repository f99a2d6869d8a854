import { constants } from 'node:crypto';
import type { SecureContextOptions, SecureVersion } from 'node:tls';

/** The versions that may be asked for; what is older cannot be said. */
export type TlsVersion = Extract<SecureVersion, 'TLSv1.2' | 'TLSv1.3'>;

/**
 * What both the listener and the dialer offer. Forward secrecy and AEAD alone: RFC 9325 §4.2 (recommended suites),
 * §3.1.1 (1.2 is the floor, 1.3 preferred).
 */
export const cipherSuites: readonly string[] = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
];

/** What of it is offered, where not all is to be. */
export interface TlsSuites {
  /** Of TLS 1.2, by OpenSSL's names, the preferred first; those of 1.3 are always offered. */
  readonly ciphers?: readonly string[] | undefined;
  /** Groups of the key agreement, the preferred first. */
  readonly groups?: readonly string[] | undefined;
}

// RFC 9325 §3.5: a renegotiation could change the identity behind a connection that was already judged.
const secureOptions = constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_COMPRESSION;

/** `minVersion` is TLSv1.2 unless given; the newest that both sides know is chosen. */
export function tlsPolicy(
  minVersion: TlsVersion = 'TLSv1.2',
  { ciphers, groups }: TlsSuites = {},
): SecureContextOptions {
  const ofVersion13 = cipherSuites.filter((name) => name.startsWith('TLS_'));
  const chosen = ciphers === undefined ? cipherSuites : [...ofVersion13, ...ciphers];
  return {
    minVersion,
    maxVersion: 'TLSv1.3',
    ciphers: chosen.join(':'),
    ecdhCurve: groups === undefined ? 'auto' : groups.join(':'),
    honorCipherOrder: true,
    secureOptions,
    // No roots: chains are verified by our own verifier alone. (Left out, Node would load its public ones.)
    ca: [],
  };
}

/** HTTP/1.1 alone (RFC 7301); a client that offers only others is refused in the handshake. */
export const httpAlpn: readonly string[] = ['http/1.1'];
