import { CountersignError, fromBase64, toBase64 } from '@countersign/base';

/** RFC 9440: how a TLS-terminating proxy tells the origin which client certificate it validated. */
export interface ClientCertHeaders {
  readonly 'client-cert': string;
  /** Absent where the leaf was issued by the anchor itself. */
  readonly 'client-cert-chain'?: string;
}

/**
 * Both headers for a validated chain, leaf first, anchor last.
 *
 * RFC 9440 §2.3: the chain has the certificates in the order of TLS, without the leaf; the trust anchor adds nothing
 * for a reader who has it and proves nothing to one who has not, so it is left out.
 */
export function clientCertHeaders(
  chain: readonly { readonly raw: Uint8Array }[],
): ClientCertHeaders {
  const [leaf, ...rest] = chain;
  if (leaf === undefined) throw malformed('client-cert', 'needs a certificate');
  const between = rest.slice(0, -1).map((certificate) => certificate.raw);
  const header = formatClientCert(leaf.raw);
  if (between.length === 0) return { 'client-cert': header };
  return { 'client-cert': header, 'client-cert-chain': formatClientCertChain(between) };
}

/** RFC 9440 §2.2: one Byte Sequence (RFC 8941 §3.3.5) of the certificate's DER. */
export function formatClientCert(der: Uint8Array): string {
  return `:${toBase64(der)}:`;
}

/** RFC 9440 §2.3: a List of Byte Sequences, issuers in ascending order. */
export function formatClientCertChain(ders: readonly Uint8Array[]): string {
  return ders.map(formatClientCert).join(', ');
}

export const clientCertLimits = { maxCertificateBytes: 64 * 1024, maxChainItems: 16 } as const;

/** @throws CountersignError ERR_WIRE_CLIENT_CERT */
export function parseClientCert(header: string): Uint8Array {
  return readByteSequence('client-cert', header.replace(/^ +/, '').replace(/ +$/, ''));
}

/** @throws CountersignError ERR_WIRE_CLIENT_CERT */
export function parseClientCertChain(header: string): Uint8Array[] {
  // A base64 text has no comma, so that the list's commas can be cut before its items are read.
  const items = header.split(',');
  if (items.length > clientCertLimits.maxChainItems) {
    const count = `${items.length} items, at most ${clientCertLimits.maxChainItems} are read`;
    throw malformed('client-cert-chain', `has ${count}`);
  }
  return items.map((item) =>
    readByteSequence('client-cert-chain', item.replace(/^[ \t]+/, '').replace(/[ \t]+$/, '')),
  );
}

function readByteSequence(header: keyof ClientCertHeaders, item: string): Uint8Array {
  if (item.length > Math.ceil(clientCertLimits.maxCertificateBytes / 3) * 4 + 2) {
    throw malformed(header, `has an item of ${item.length} characters, too long for a certificate`);
  }
  // RFC 9440 §2.2 gives the fields no parameters; one is refused rather than passed over.
  if (item.length < 2 || !item.startsWith(':') || !item.endsWith(':')) {
    throw malformed(header, 'has an item that is not base64 between two colons');
  }
  const bytes = fromBase64(item.slice(1, -1));
  if (bytes === undefined || bytes.byteLength === 0) {
    throw malformed(header, 'has an item whose base64 is malformed or empty');
  }
  return bytes;
}

function malformed(header: string, reason: string): CountersignError {
  return new CountersignError('ERR_WIRE_CLIENT_CERT', `${header} header ${reason}`, {
    fields: { header },
  });
}
