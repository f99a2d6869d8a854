import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatProxyHeader, type ProxyHeader, parseProxyHeader } from './proxy-header.ts';

const signature = '0d0a0d0a000d0a515549540a';
/** Written by hand from HAProxy's proxy-protocol.txt §2.2. */
const overV4 = `${signature}2111000cc0000207c6336401109201bb`;
const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));

test('addresses of both families are read and written as the protocol has them', () => {
  const v4: ProxyHeader = {
    ...{ sourceAddress: '192.0.2.7', sourcePort: 4242 },
    ...{ destinationAddress: '198.51.100.1', destinationPort: 443 },
  };
  assert.equal(Buffer.from(formatProxyHeader(v4)).toString('hex'), overV4);
  assert.deepEqual(parseProxyHeader(bytesOf(overV4)), { ...v4, tls: undefined });
  const v6 = { ...v4, sourceAddress: '2001:db8::7', destinationAddress: '::1' };
  const written = formatProxyHeader(v6);
  assert.equal(written[13], 0x21);
  assert.deepEqual(parseProxyHeader(written), { ...v6, tls: undefined });
  // One end of each family: both are written as IPv6, and read as they were.
  const mixed = { ...v4, sourceAddress: '::ffff:192.0.2.7', destinationAddress: '2001:db8::1' };
  const read = parseProxyHeader(formatProxyHeader(mixed));
  assert.deepEqual([read?.sourceAddress, read?.destinationAddress], ['192.0.2.7', '2001:db8::1']);
});

test('what TLS had shown travels in its TLVs', () => {
  const header: ProxyHeader = {
    ...{ sourceAddress: '192.0.2.7', sourcePort: 1, destinationAddress: '192.0.2.8' },
    destinationPort: 2,
    tls: {
      ...{ serverName: 'a.example', alpn: 'h2', version: 'TLSv1.3' },
      ...{ cipher: 'TLS_AES_128_GCM_SHA256', isVerified: true, commonName: 'a' },
      certificate: Uint8Array.of(0x30, 0),
      spiffeId: 'spiffe://example.com/a',
    },
  };
  const written = formatProxyHeader(header);
  assert.deepEqual(parseProxyHeader(written), header);
  // PP2_TYPE_SSL: client flags 7, verify 0
  const hex = Buffer.from(written).toString('hex');
  assert.match(hex, /20[0-9a-f]{4}0700000000210007/);
});

test('LOCAL and unspecified addresses tell of nobody', () => {
  for (const head of [`${signature}20000000`, `${signature}2011000c${'00'.repeat(12)}`]) {
    assert.equal(parseProxyHeader(bytesOf(head)), undefined);
  }
  assert.equal(parseProxyHeader(bytesOf(`${signature}210000020102`)), undefined);
});

test('a checksum is believed only where it is right', () => {
  // PP2_TYPE_CRC32C over the header above, made by another implementation
  const before = `${signature}21110013c0000207c6336401109201bb030004`;
  const right = bytesOf(`${before}${crcOf(bytesOf(`${before}00000000`))}`);
  assert.equal(parseProxyHeader(right)?.sourcePort, 4242);
  for (const at of [16, 20, 25, 31, 34]) {
    const wrong = Uint8Array.from(right);
    wrong[at]! ^= 1;
    assert.throws(() => parseProxyHeader(wrong), { code: 'ERR_TLS_PROXY_HEADER' }, `octet ${at}`);
  }
});

test('what is no header is refused, whatever octet is wrong or missing', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['474554202f20485454502f312e310d0a', /does not begin with one/],
    [`${signature}11110000`, /version 1/],
    [`${signature}22110000`, /command 2/],
    [`${signature}21120000`, /family 18/],
    [`${signature}2131000c${'00'.repeat(12)}`, /family 49/],
    [`${signature}2111000b${'00'.repeat(11)}`, /ends within its addresses/],
    [`${signature}2111000e${'00'.repeat(12)}0100`, /ends within a TLV/],
    [`${signature}21110010${'00'.repeat(12)}01000501`, /ends within a TLV/],
    [`${signature}21110010${'00'.repeat(12)}20000101`, /ends within a TLV/],
    [`${signature}2111ffff`, /at most 8192/],
    [`${signature}2111000c`, /not of its length/],
  ];
  for (const [hex, message] of cases) {
    assert.throws(() => parseProxyHeader(bytesOf(hex)), message, hex);
  }
  const whole = bytesOf(overV4);
  for (let length = 0; length < whole.byteLength; length += 1) {
    assert.throws(() => parseProxyHeader(whole.subarray(0, length)), {
      code: 'ERR_TLS_PROXY_HEADER',
    });
  }
});

/** CRC-32C, bit by bit. */
function crcOf(bytes: Uint8Array): string {
  let sum = 0xffffffff;
  for (const octet of bytes) {
    sum ^= octet;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (sum & 1 ? 0x82f63b78 : 0);
  }
  return ((sum ^ 0xffffffff) >>> 0).toString(16).padStart(8, '0');
}
