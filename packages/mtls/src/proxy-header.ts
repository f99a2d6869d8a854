import { isIPv4, isIPv6, SocketAddress } from 'node:net';
import { CountersignError, concatBytes } from '@countersign/base';
import { parseIpAddress } from '@countersign/x509';

/**
 * What a proxy tells of the connection that it passes on: PROXY protocol, version 2 (HAProxy's proxy-protocol.txt §2.2).
 * Both ends as the proxy saw them, and what TLS had shown it.
 */
export interface ProxyHeader {
  readonly sourceAddress: string;
  readonly sourcePort: number;
  readonly destinationAddress: string;
  readonly destinationPort: number;
  readonly tls?: ProxiedTls | undefined;
}

export interface ProxiedTls {
  /** Server name that the client sent. */
  readonly serverName?: string | undefined;
  readonly alpn?: string | undefined;
  /** As `TLSv1.3`. */
  readonly version?: string | undefined;
  readonly cipher?: string | undefined;
  /** Whether the client had a certificate, and it was verified. */
  readonly isVerified: boolean;
  readonly commonName?: string | undefined;
  /** DER. */
  readonly certificate?: Uint8Array | undefined;
  /** In a TLV of the range for own use (0xE0), for there is none for it. */
  readonly spiffeId?: string | undefined;
}

const signature = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10);
/** Signature, version and command, family, length. */
export const proxyHeadBytes = 16;
/** Of addresses and TLVs: a certificate has room in it, and a stranger cannot make us wait for more. */
export const maxProxyBody = 8192;

const tlv = { alpn: 0x01, authority: 0x02, crc32c: 0x03, ssl: 0x20, spiffeId: 0xe0 } as const;
const sslTlv = { version: 0x21, cn: 0x22, cipher: 0x23, certificate: 0x28 } as const;
const clientFlags = { ssl: 0x01, certConn: 0x02, certSess: 0x04 } as const;

export function formatProxyHeader(header: ProxyHeader): Uint8Array {
  const { sourceAddress, destinationAddress } = header;
  const isV4 = isIPv4(plainIp(sourceAddress)) && isIPv4(plainIp(destinationAddress));
  const source = addressBytes(sourceAddress, isV4);
  const destination = addressBytes(destinationAddress, isV4);
  const ports = concatBytes(uint16(header.sourcePort), uint16(header.destinationPort));
  const body = concatBytes(source, destination, ports, ...tlsTlvs(header.tls));
  const family = isV4 ? 0x11 : 0x21;
  return concatBytes(signature, Uint8Array.of(0x21, family), uint16(body.byteLength), body);
}

/**
 * How many octets follow the first sixteen.
 *
 * @throws CountersignError ERR_TLS_PROXY_HEADER
 */
export function proxyBodyLength(head: Uint8Array): number {
  if (!signature.every((octet, i) => head[i] === octet)) throw malformed('does not begin with one');
  const length = ((head[14] ?? 0) << 8) | (head[15] ?? 0);
  if (length > maxProxyBody)
    throw malformed(`has ${length} octets, at most ${maxProxyBody} are read`);
  return length;
}

/**
 * A whole header; undefined where the proxy speaks for itself (LOCAL), or does not say for whom.
 *
 * @throws CountersignError ERR_TLS_PROXY_HEADER
 */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeader | undefined {
  const length = proxyBodyLength(bytes);
  if (bytes.byteLength !== proxyHeadBytes + length) throw malformed('is not of its length');
  const [versionAndCommand = 0, family = 0] = bytes.subarray(12, 14);
  if (versionAndCommand >> 4 !== 2)
    throw malformed(`is of version ${versionAndCommand >> 4}, expected 2`);
  const command = versionAndCommand & 0x0f;
  if (command > 1) throw malformed(`has command ${command}`);
  if (command === 0 || family === 0) return undefined;
  const width = addressWidths[family];
  if (width === undefined) throw malformed(`has family ${family}, expected TCP over IPv4 or IPv6`);
  const body = bytes.subarray(proxyHeadBytes);
  if (body.byteLength < 2 * width + 4) throw malformed('ends within its addresses');
  const at = 2 * width;
  const tlvs = readTlvs(body.subarray(at + 4));
  checkSum(bytes, tlvs);
  return {
    sourceAddress: addressText(body.subarray(0, width)),
    destinationAddress: addressText(body.subarray(width, at)),
    sourcePort: ((body[at] ?? 0) << 8) | (body[at + 1] ?? 0),
    destinationPort: ((body[at + 2] ?? 0) << 8) | (body[at + 3] ?? 0),
    tls: readTls(tlvs),
  };
}

const addressWidths: Readonly<Record<number, number>> = { 17: 4, 33: 16 };

interface Tlv {
  readonly type: number;
  readonly value: Uint8Array;
}

function readTlvs(bytes: Uint8Array): readonly Tlv[] {
  const tlvs: Tlv[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const length = ((bytes[at + 1] ?? 0) << 8) | (bytes[at + 2] ?? 0);
    const end = at + 3 + length;
    if (at + 3 > bytes.byteLength || end > bytes.byteLength) throw malformed('ends within a TLV');
    tlvs.push({ type: bytes[at] ?? 0, value: bytes.subarray(at + 3, end) });
    at = end;
  }
  return tlvs;
}

/** PP2_TYPE_CRC32C: over the whole header, with its own octets zero. */
function checkSum(bytes: Uint8Array, tlvs: readonly Tlv[]): void {
  const sum = tlvs.find(({ type }) => type === tlv.crc32c);
  if (sum === undefined) return;
  if (sum.value.byteLength !== 4) throw malformed('has a checksum that is none');
  const copy = Uint8Array.from(bytes);
  copy.fill(
    0,
    sum.value.byteOffset - bytes.byteOffset,
    sum.value.byteOffset - bytes.byteOffset + 4,
  );
  const [a = 0, b = 0, c = 0, d = 0] = sum.value;
  const written = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
  if (crc32c(copy) !== written) throw malformed('does not agree with its checksum');
}

function readTls(tlvs: readonly Tlv[]): ProxiedTls | undefined {
  const textOf = (among: readonly Tlv[], wanted: number): string | undefined => {
    const found = among.find(({ type }) => type === wanted);
    return found === undefined ? undefined : new TextDecoder().decode(found.value);
  };
  const ssl = tlvs.find(({ type }) => type === tlv.ssl)?.value;
  if (ssl !== undefined && ssl.byteLength < 5) throw malformed('ends within a TLV');
  const inner = ssl === undefined ? [] : readTlvs(ssl.subarray(5));
  const serverName = textOf(tlvs, tlv.authority);
  if (ssl === undefined && serverName === undefined) return undefined;
  const hadCertificate = ((ssl?.[0] ?? 0) & (clientFlags.certConn | clientFlags.certSess)) !== 0;
  const verified = ssl?.subarray(1, 5).every((octet) => octet === 0) === true;
  return {
    serverName,
    alpn: textOf(tlvs, tlv.alpn),
    version: textOf(inner, sslTlv.version),
    cipher: textOf(inner, sslTlv.cipher),
    isVerified: hadCertificate && verified,
    commonName: textOf(inner, sslTlv.cn),
    certificate: inner.find(({ type }) => type === sslTlv.certificate)?.value,
    spiffeId: textOf(tlvs, tlv.spiffeId),
  };
}

function tlsTlvs(tls: ProxiedTls | undefined): Uint8Array[] {
  if (tls === undefined) return [];
  const { isVerified } = tls;
  const flags = clientFlags.ssl | (isVerified ? clientFlags.certConn | clientFlags.certSess : 0);
  const verify = Uint8Array.of(flags, 0, 0, 0, isVerified ? 0 : 1);
  const inner = [
    ...textTlv(sslTlv.version, tls.version),
    ...textTlv(sslTlv.cn, tls.commonName),
    ...textTlv(sslTlv.cipher, tls.cipher),
    ...(tls.certificate === undefined ? [] : [oneTlv(sslTlv.certificate, tls.certificate)]),
  ];
  return [
    ...textTlv(tlv.alpn, tls.alpn),
    ...textTlv(tlv.authority, tls.serverName),
    oneTlv(tlv.ssl, concatBytes(verify, ...inner)),
    ...textTlv(tlv.spiffeId, tls.spiffeId),
  ];
}

function textTlv(type: number, text: string | undefined): Uint8Array[] {
  return text === undefined || text === '' ? [] : [oneTlv(type, new TextEncoder().encode(text))];
}

function oneTlv(type: number, value: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of(type), uint16(value.byteLength), value);
}

function uint16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 0xff);
}

/** A dual-stack socket shows IPv4 addresses as IPv6 ones. */
function plainIp(address: string): string {
  return address.startsWith('::ffff:') && address.includes('.') ? address.slice(7) : address;
}

function addressBytes(address: string, isV4: boolean): Uint8Array {
  const plain = plainIp(address);
  const text = !isV4 && isIPv4(plain) ? `::ffff:${plain}` : plain.replace(/%.*$/, '');
  return parseIpAddress(text) ?? new Uint8Array(isV4 ? 4 : 16);
}

function addressText(bytes: Uint8Array): string {
  if (bytes.byteLength === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  ).join(':');
  if (!isIPv6(groups)) throw malformed('has an address that is none');
  return plainIp(new SocketAddress({ address: groups, family: 'ipv6' }).address);
}

function malformed(wrong: string): CountersignError {
  return new CountersignError('ERR_TLS_PROXY_HEADER', `PROXY header ${wrong}`);
}

// RFC 9260 Appendix A; the polynomial that the protocol names.
const crcTable = Uint32Array.from({ length: 256 }, (_, i) => {
  let sum = i;
  for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0x82f63b78 : sum >>> 1;
  return sum;
});

function crc32c(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const octet of bytes) sum = (crcTable[(sum ^ octet) & 0xff] ?? 0) ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}
