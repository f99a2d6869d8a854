import assert from 'node:assert/strict';
import { test } from 'node:test';
import { downstreamHeaders, upstreamHeaders } from './forwarded-headers.ts';

test('end-to-end headers pass in order and spelling, repeated ones too', () => {
  const raw = ['Host', 'a', 'Accept', 'x', 'Cookie', '1', 'cookie', '2', 'Content-Length', '3'];
  assert.deepEqual(upstreamHeaders(raw, ['Own', '1']), [...raw, 'Own', '1']);
});

test('headers of this hop and those that connection names do not pass, in either direction', () => {
  const raw = [
    ...['Connection', 'Keep-Alive, X-Hop', 'connection', 'x-other', 'Keep-Alive', 'timeout=5'],
    ...['X-Hop', '1', 'X-OTHER', '1', 'TE', 'trailers', 'Transfer-Encoding', 'chunked'],
    ...['Upgrade', 'h2c', 'Proxy-Authorization', 'x', 'X-Kept', '1'],
  ];
  assert.deepEqual(upstreamHeaders(raw, []), ['X-Kept', '1']);
  assert.deepEqual(downstreamHeaders(raw), ['X-Kept', '1']);
});

test('a caller cannot have the framing or the host removed', () => {
  const raw = ['Connection', 'host, content-length', 'Host', 'a', 'Content-Length', '3'];
  assert.deepEqual(upstreamHeaders(raw, []), ['Host', 'a', 'Content-Length', '3']);
});

test('what a caller says of its identity or address does not pass, however it is spelt', () => {
  for (const name of [
    ...['X-Forwarded-Client-Cert', 'x_forwarded_client_cert', 'CLIENT-CERT', 'Client-Cert-Chain'],
    ...['X-Forwarded-For', 'X_Forwarded_For', 'Forwarded', 'X-Real-IP', 'x-spiffe-id', 'Expect'],
    ...['Transfer_Encoding', 'content_length'],
  ]) {
    assert.deepEqual(upstreamHeaders([name, 'x'], []), [], name);
  }
});
