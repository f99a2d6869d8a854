import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { type TestApi, testApi } from '../../test/api-under-test.ts';

describe('limits on slow clients', () => {
  let api: TestApi;
  before(async () => {
    api = await testApi();
  });
  after(() => api.close());

  function dial(): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: api.server.port, rejectUnauthorized: false };
      const socket = connect(options, () => resolve(socket));
      socket.once('error', reject);
    });
  }

  it('answers 408 and hangs up on a head that drips in, however busy it looks', async () => {
    const socket = await dial();
    const started = performance.now();
    socket.on('error', () => {});
    socket.write('GET /v1/bundle HTTP/1.1\r\nhost: ca\r\n');
    const dripping = setInterval(() => socket.write('x-drip: 1\r\n'), 500);
    let answer = '';
    socket.setEncoding('utf8');
    for await (const part of socket) answer += part;
    clearInterval(dripping);
    const seconds = (performance.now() - started) / 1000;
    assert.match(answer, /^HTTP\/1\.1 408 /);
    assert.ok(seconds > 8 && seconds < 16, `${seconds} s`);
  });
});
